"""Workloads that Stakater Reloader would restart at every refresh. No I/O.

https://github.com/stakater/Reloader#readme
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pinecone_token_operator.kubectl_plugin.consumers import find_uses
from pinecone_token_operator.kubectl_plugin.findings import Finding, Severity
from pinecone_token_operator.targets import names

_PREFIX: Final = "reloader.stakater.com/"
_SECRET_PREFIX: Final = "secret.reloader.stakater.com/"  # noqa: S105 - an annotation's prefix

Object = Mapping[str, Any]


def in_workloads(workloads: Iterable[Object], secret: Object) -> Iterator[Finding]:
    """Yield the workloads that Reloader restarts when a target changes.

    Args:
        workloads: Deployments, StatefulSets and DaemonSets of the target's namespace.
        secret: the target's metadata as the API server sent it.
    """
    metadata = secret["metadata"]
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    if annotations.get(names.RELOADER_IGNORE) == "true":
        return
    for workload in workloads:
        found = workload["metadata"].get("annotations") or {}
        template = (workload["spec"]["template"].get("metadata") or {}).get("annotations") or {}
        cause = _cause({**template, **found}, workload, metadata["name"], annotations)
        if cause:
            own = workload["metadata"]
            yield Finding(
                Severity.WARNING,
                f"{workload['kind']} {own['namespace']}/{own['name']}",
                f"Reloader restarts it at every refresh of Secret {metadata['name']} ({cause})",
                f'set {names.RELOADER_IGNORE}: "true" in the annotations of the target\'s'
                " template, or leave them out of it: that is the default",
            )


def _cause(
    annotations: Mapping[str, str], workload: Object, secret: str, on_secret: Mapping[str, str]
) -> str:
    """Return the annotation by which Reloader restarts a workload; empty if none does."""
    listed = annotations.get(f"{_SECRET_PREFIX}reload", "")
    if secret in [each.strip() for each in listed.split(",")]:
        return f"{_SECRET_PREFIX}reload"
    if not _mentions(workload, secret):
        return ""
    for name in (f"{_PREFIX}auto", f"{_SECRET_PREFIX}auto"):
        if annotations.get(name) == "true":
            return name
    matches = on_secret.get(f"{_PREFIX}match") == "true"
    if matches and annotations.get(f"{_PREFIX}search") == "true":
        return f"{_PREFIX}search"
    return ""


def _mentions(workload: Object, secret: str) -> bool:
    template = workload["spec"]["template"]
    return bool(find_uses([{"metadata": {"name": ""}, "spec": template["spec"]}], secret))
