"""A ClusterPineconeAccessToken and the namespaces that it selects, in a cluster of tests."""

import contextlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.support.api import Kube, KubeError, eventually
from tests.support.documented import CLUSTER_KIND, CLUSTER_PLURAL, GROUP, VERSION

LABEL: Final = "example.com/token"
TARGET: Final = "pinecone-access-token"


def cluster_token_path(name: str = "") -> str:
    """Return the path of a ClusterPineconeAccessToken; without a name, of all."""
    return f"/apis/{GROUP}/{VERSION}/{CLUSTER_PLURAL}/{name}".rstrip("/")


class Fleet:
    """A cluster-scoped resource and namespaces, with names that no other test uses.

    Args:
        kube: the client.
        operators: the cluster resource namespace.

    Attributes:
        name: of the resource.
        label: the value of the label by which namespaces are selected.
        namespaces: those that were created.
    """

    def __init__(self, kube: Kube, operators: str) -> None:
        self.kube = kube
        self.operators = operators
        self.label = uuid.uuid4().hex[:8]
        self.name = f"shared-{self.label}"
        self.namespaces: list[str] = []

    # Changes

    def create(self, **spec: object) -> dict[str, Any]:
        """Create the resource; `spec` in the API's own names."""
        selector = {"matchLabels": {LABEL: self.label}}
        return self.kube.create(
            cluster_token_path(),
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": CLUSTER_KIND,
                "metadata": {"name": self.name},
                "spec": {
                    "credentialsSecretRef": {"name": "account"},
                    "namespaceSelector": selector,
                    "target": {"name": TARGET},
                    **spec,
                },
            },
        )

    def patch(self, patch: Mapping[str, Any]) -> None:
        self.kube.patch(cluster_token_path(self.name), patch)

    def add(self, short: str, *, labelled: bool = True) -> str:
        """Create a namespace and return its name."""
        name = f"{short}-{self.label}"
        labels = {LABEL: self.label} if labelled else {}
        body = {"metadata": {"name": name, "labels": labels}}
        self.kube.create("/api/v1/namespaces", body)
        self.namespaces.append(name)
        return name

    def set_label(self, namespace: str, value: str | None) -> None:
        patch = {"metadata": {"labels": {LABEL: value}}}
        self.kube.patch(f"/api/v1/namespaces/{namespace}", patch)

    def select(self, namespace: str) -> None:
        self.set_label(namespace, self.label)

    def unselect(self, namespace: str) -> None:
        self.set_label(namespace, None)

    def clean_up(self) -> None:
        """Remove the resource and all namespaces."""
        with contextlib.suppress(KubeError):  # the test may have deleted it
            self.kube.delete(cluster_token_path(self.name))
        for name in self.namespaces:
            self.kube.remove_namespace(name)

    # What is there

    def resource(self) -> dict[str, Any]:
        found = self.kube.get(cluster_token_path(self.name))
        assert found is not None
        return found

    def status(self) -> dict[str, Any]:
        return dict(self.resource().get("status") or {})

    def copy(self, namespace: str) -> dict[str, Any] | None:
        """Return the Secret with a namespace's copy."""
        return self.kube.secret_object(namespace, TARGET)

    def token(self, namespace: str) -> str | None:
        """Return the access token in a namespace's copy."""
        return (self.kube.secret(namespace, TARGET) or {}).get("access_token")

    def versions(self, namespaces: Sequence[str]) -> dict[str, str]:
        """Return the resourceVersion of each copy."""
        found = {}
        for namespace in namespaces:
            copy = self.copy(namespace)
            assert copy is not None
            found[namespace] = copy["metadata"]["resourceVersion"]
        return found

    def condition(self, type_: str) -> tuple[str, str]:
        """Return the status and reason of a condition."""
        for one in self.status().get("conditions") or ():
            if one["type"] == type_:
                return one["status"], one["reason"]
        return "", ""

    def failures(self) -> dict[str, str]:
        """Return the reason of each listed failure by namespace."""
        listed = (self.status().get("targets") or {}).get("failed") or ()
        return {one["namespace"]: one["reason"] for one in listed}

    # Waiting

    def until_ready(self, summary: str, timeout: float = 60) -> None:
        """Wait until the status says that so many copies are ready."""
        eventually(
            lambda: (self.status().get("targets") or {}).get("summary") == summary,
            f"{summary} copies are ready",
            timeout,
        )

    def until_copied(self, namespace: str, timeout: float = 60) -> None:
        eventually(lambda: self.token(namespace), f"{namespace} has a copy", timeout)

    def until_removed(self, namespace: str, timeout: float = 60) -> None:
        """Wait until a namespace has no copy."""
        eventually(lambda: self.copy(namespace) is None, f"{namespace} has no copy", timeout)

    def until_condition(self, type_: str, status: str, reason: str, timeout: float = 60) -> None:
        eventually(
            lambda: self.condition(type_) == (status, reason), f"{type_} is {reason}", timeout
        )
