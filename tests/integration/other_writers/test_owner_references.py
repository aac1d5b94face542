"""Owner references are guarded, as on OpenShift: no right to delete, no right to set them.

Right is: the token is refreshed all the same, and a condition names the missing right.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.cluster import Cluster
from tests.support.crd import cluster_with_crd
from tests.support.operator_process import StartOperator
from tests.support.rights import chart_kubeconfig
from tests.support.token_endpoint import TokenEndpoint

_NO_OWNER = [{"op": "remove", "path": "/metadata/ownerReferences"}]
_RETAIN = {"deletionPolicy": "Retain"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    flags = {"enable-admission-plugins": "OwnerReferencesPermissionEnforcement"}
    with cluster_with_crd(tmp_path_factory.mktemp("guarded"), flags=flags) as running:
        yield running


@pytest.fixture(scope="module")
def kube(cluster: Cluster) -> Iterator[Kube]:
    with Kube(cluster) as client:
        yield client


def test_guarded_owner_reference_never_holds_up_the_token(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    tmp_path: Path,
) -> None:
    endpoint.lifetime = 10
    kubeconfig = chart_kubeconfig(cluster, namespace, [namespace], tmp_path)
    operator = start_operator(kubeconfig=kubeconfig)
    for name in ("stripped", "retained", "switched"):
        kube.create_token(namespace, name)
    for name in ("back", "successor"):
        kube.create_token(namespace, name, target=_RETAIN)
    names = ("stripped", "retained", "switched", "back", "successor")
    for name in names:
        kube.until(namespace, "Ready", "TokenValid", name)

    kube.patch_by(secret_path(namespace, "stripped"), _NO_OWNER)
    for name in ("retained", "switched"):
        kube.patch_token(namespace, name, {"spec": {"target": _RETAIN}})
    kube.patch_token(namespace, "back", {"spec": {"target": {"deletionPolicy": "Delete"}}})
    kube.delete(token_path(namespace, "successor"))
    kube.create_token(namespace, "successor")

    for name in names:
        kube.until(namespace, "Refreshed", "TargetIncomplete", name)
        refreshed = kube.condition(namespace, name, "Refreshed") or {}
        assert "delete on secrets" in refreshed["message"]
        assert refreshed["status"] == "True"
    kube.patch_token(namespace, "switched", {"spec": {"target": {"deletionPolicy": "Delete"}}})
    kube.until(namespace, "Refreshed", "Succeeded", "switched")
    before = {name: kube.secret(namespace, name) for name in names}
    exchanges = endpoint.exchanges
    for name in names:
        eventually(
            lambda name=name: kube.secret(namespace, name) != before[name],  # type: ignore[misc]
            f"{name} is refreshed",
        )
        assert (kube.condition(namespace, name, "Ready") or {})["status"] == "True"
    assert endpoint.exchanges - exchanges <= 2 * len(names)
    assert operator.errors() == []


def test_owner_reference_is_restored_with_the_chart_value_for_it(
    cluster: Cluster, kube: Kube, namespace: str, start_operator: StartOperator, tmp_path: Path
) -> None:
    options = ("--set", "rbac.allowSecretDeletion=true")
    kubeconfig = chart_kubeconfig(cluster, namespace, [namespace], tmp_path, options)
    operator = start_operator(kubeconfig=kubeconfig)
    kube.create_token(namespace, "search")
    kube.until(namespace, "Ready", "TokenValid", "search")

    kube.patch_by(secret_path(namespace, "search"), _NO_OWNER)

    eventually(
        lambda: (kube.secret_object(namespace, "search") or {})["metadata"].get("ownerReferences"),
        "the owner reference is back",
    )
    kube.until(namespace, "Refreshed", "Succeeded", "search")
    assert operator.errors() == []
