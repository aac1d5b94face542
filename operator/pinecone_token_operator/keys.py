"""Keys: how objects are identified in queues, indexes, logs, metrics and Events."""

from typing import NamedTuple

SecretKey = tuple[str, str]
"""A Secret's (namespace, name)."""


class ObjectRef(NamedTuple):
    """A custom resource: its kind, namespace (empty if cluster-scoped) and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return `namespace/name`, or the name alone if the resource is cluster-scoped."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def namespace_name(namespace: str | None) -> str:
    """Return `namespace x`, or `all namespaces` for None."""
    return "all namespaces" if namespace is None else f"namespace {namespace}"
