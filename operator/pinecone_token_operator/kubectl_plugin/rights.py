"""What an operator's ServiceAccount must be allowed to do: the chart's rules. No I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pinecone_token_operator.api.group import ACCESS_TOKEN, CLUSTER_ACCESS_TOKEN, GROUP
from pinecone_token_operator.kubectl_plugin.findings import Finding, Severity
from pinecone_token_operator.kubectl_plugin.installation import Installation

_READ: Final = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource.

    Attributes:
        namespace: where; empty means in all namespaces, or for a cluster-scoped resource.
        group: the API group.
        resource: the plural, with its subresource after a slash.
        verb: the verb.
        name: of the one object; empty means all.
    """

    namespace: str
    group: str
    resource: str
    verb: str
    name: str = ""

    def review(self, account: str) -> Mapping[str, Any]:
        """Return the SubjectAccessReview that asks whether a user has it."""
        resource, _, subresource = self.resource.partition("/")
        attributes = {
            "namespace": self.namespace,
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": subresource,
            "name": self.name,
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": account, "resourceAttributes": attributes},
        }


def for_namespace(namespace: str) -> list[Right]:
    """Return what the PineconeAccessTokens of a namespace need."""
    return [
        *_rights(namespace, GROUP, ACCESS_TOKEN.plural, _READ),
        *_rights(namespace, GROUP, f"{ACCESS_TOKEN.plural}/status", ("patch",)),
        *_rights(namespace, "", "secrets", (*_READ, "create", "patch")),
    ]


def for_cluster_tokens(found: Installation) -> list[Right]:
    """Return what ClusterPineconeAccessTokens need; nothing if the operator does not serve them."""
    if not found.credentials:
        return []
    served = sorted(found.namespaces)
    return [
        *_rights("", GROUP, CLUSTER_ACCESS_TOKEN.plural, _READ),
        *_rights("", GROUP, f"{CLUSTER_ACCESS_TOKEN.plural}/status", ("patch",)),
        *(
            right
            for name in served or [""]
            for right in _rights("", "", "namespaces", ("list", "watch"), name)
        ),
        *_rights(found.credentials, "", "secrets", _READ),
        *(
            right
            for namespace in served or [""]
            for right in _rights(namespace, "", "secrets", (*_READ, "create", "patch", "delete"))
        ),
    ]


def in_rights(found: Installation, missing: list[Right]) -> Iterator[Finding]:
    """Yield the missing permissions, one finding for each namespace."""
    for namespace in sorted({each.namespace for each in missing}):
        where = f"in namespace {namespace}" if namespace else "in all namespaces"
        listed = [
            f"{each.verb} {each.resource}" + (f" {each.name}" if each.name else "")
            for each in missing
            if each.namespace == namespace
        ]
        yield Finding(
            Severity.ERROR,
            found.subject,
            f"its ServiceAccount {found.account} lacks permissions {where}: {', '.join(listed)}",
            "restore the chart's roles and role bindings with helm upgrade",
        )


def _rights(
    namespace: str, group: str, resource: str, verbs: tuple[str, ...], name: str = ""
) -> list[Right]:
    return [Right(namespace, group, resource, verb, name) for verb in verbs]
