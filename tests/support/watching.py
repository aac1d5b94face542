"""What the tests of watches share: polling, and accounts whose permissions change."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tests.support.api import Kube, KubeError
from tests.support.cluster import Cluster
from tests.support.documented import GROUP, PLURAL
from tests.support.kubeconfig import write_kubeconfig

DEADLINE: Final = 60.0
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_GROUPS: Final = {"secrets": "", "events": "", PLURAL: GROUP, "leases": "coordination.k8s.io"}


async def until(
    condition: Callable[[], object], otherwise: Callable[[], object], seconds: float = DEADLINE
) -> None:
    """Wait until a condition holds; `otherwise` says what is the case instead."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        await asyncio.sleep(0.02)


class Account:
    """A service account with permissions in some namespaces.

    Attributes:
        token: its bearer token.
        kubeconfig: path of a kubeconfig that uses it.
    """

    def __init__(self, cluster: Cluster, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = f"account-{uuid.uuid4().hex[:6]}"
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        kube.create(accounts, {"metadata": {"name": self._name}})
        self.token = cluster.kubectl("create", "token", self._name, "-n", namespace).strip()
        self.kubeconfig = write_kubeconfig(
            cluster.kubeconfig.with_name(f"{self._name}.kubeconfig"),
            cluster.url,
            cluster.ca_file,
            {"token": self.token},
        )

    def grant(
        self,
        namespace: str,
        *verbs: str,
        plurals: Sequence[str] = (PLURAL, "secrets"),
    ) -> None:
        """Grant verbs in a namespace, instead of those that it has there."""
        self._grant(namespace, [_rule(plural, *verbs) for plural in plurals])

    def grant_operator(self, namespace: str) -> None:
        """Grant what the operator needs in a namespace, and no more."""
        self._grant(
            namespace,
            [
                _rule(PLURAL, "get", "list", "watch"),
                _rule(f"{PLURAL}/status", "patch"),
                _rule("secrets", "get", "list", "watch", "create", "patch"),
                _rule("events", "create", "patch"),
            ],
        )

    def _grant(self, namespace: str, rules: Sequence[Mapping[str, Any]]) -> None:
        self.revoke(namespace)
        self._kube.create(
            f"{_RBAC}/namespaces/{namespace}/roles",
            {"metadata": {"name": self._name}, "rules": rules},
        )
        self._kube.create(
            f"{_RBAC}/namespaces/{namespace}/rolebindings",
            {
                "metadata": {"name": self._name},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "Role",
                    "name": self._name,
                },
                "subjects": [
                    {"kind": "ServiceAccount", "name": self._name, "namespace": self._namespace}
                ],
            },
        )

    def revoke(self, namespace: str) -> None:
        """Revoke all permissions in a namespace."""
        for kind in ("rolebindings", "roles"):
            with contextlib.suppress(KubeError):
                self._kube.delete(f"{_RBAC}/namespaces/{namespace}/{kind}/{self._name}")


def _rule(plural: str, *verbs: str) -> dict[str, list[str]]:
    group = _GROUPS[plural.partition("/")[0]]
    return {"apiGroups": [group], "resources": [plural], "verbs": list(verbs)}
