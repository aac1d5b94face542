"""One exchange, many namespaces: copies appear and go with labels and namespaces."""

import time

import pytest

from tests.integration.cluster_tokens.conftest import StartFleetOperator
from tests.support.api import eventually
from tests.support.cluster import Cluster
from tests.support.documented import RESOURCE_UID
from tests.support.fleet import TARGET, Fleet, cluster_token_path
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)

SOON = 1.0
"""Seconds in which a copy appears or goes."""


def test_one_exchange_serves_all_selected_namespaces(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    selected = [fleet.add(f"team-{number}") for number in range(12)]
    other = fleet.add("other", labelled=False)
    start()
    created = fleet.create()
    fleet.until_ready("12/12")
    assert endpoint.exchanges == 1
    tokens = {fleet.token(namespace) for namespace in selected}
    assert tokens == set(endpoint.tokens)
    assert fleet.copy(other) is None
    copy = fleet.copy(selected[0])
    assert copy is not None
    assert copy["metadata"]["labels"][RESOURCE_UID] == created["metadata"]["uid"]
    (owner,) = copy["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == (created["kind"], fleet.name)
    status = fleet.status()
    assert status["targets"] == {"summary": "12/12", "matched": 12, "ready": 12, "failed": []}
    assert fleet.condition("Ready") == ("True", "TokenValid")
    assert fleet.condition("Refreshed") == ("True", "Succeeded")
    assert fleet.condition("TargetsReady") == ("True", "AllCopied")


def test_labels_add_and_remove_copies_without_an_exchange(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    first, second = fleet.add("first"), fleet.add("second", labelled=False)
    start()
    fleet.create()
    fleet.until_ready("1/1")
    fleet.select(second)
    fleet.until_copied(second, SOON)
    third = fleet.add("third")
    fleet.until_copied(third, SOON)
    fleet.unselect(second)
    fleet.until_removed(second, SOON)
    fleet.until_ready("2/2")
    assert {fleet.token(first), fleet.token(third)} == set(endpoint.tokens)
    assert endpoint.exchanges == 1


def test_label_flapping_ends_in_what_the_label_says(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    fleet.add("steady")
    flapping, ending = fleet.add("flapping"), fleet.add("ending")
    start()
    fleet.create()
    fleet.until_ready("3/3")
    for _ in range(20):
        fleet.unselect(flapping)
        fleet.unselect(ending)
        fleet.select(flapping)
        fleet.select(ending)
    fleet.unselect(ending)
    fleet.until_removed(ending)
    fleet.until_copied(flapping)
    fleet.until_ready("2/2")
    assert endpoint.exchanges == 1


def test_flapping_of_the_only_namespace_damps_exchanges(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    only = fleet.add("only")
    start()
    fleet.create()
    fleet.until_ready("1/1")
    flaps = 20
    for _ in range(flaps):
        fleet.unselect(only)
        fleet.until_removed(only)
        fleet.select(only)
        time.sleep(0.3)  # longer than an exchange takes
    assert endpoint.exchanges <= flaps // 2


def test_only_namespace_gets_the_cached_token_back(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    only = fleet.add("only")
    start("--keep-tokens=20m")
    fleet.create()
    fleet.until_ready("1/1")
    token = fleet.token(only)
    for _ in range(3):
        fleet.unselect(only)
        fleet.until_removed(only)
        fleet.select(only)
        fleet.until_copied(only)
        assert fleet.token(only) == token
    assert endpoint.exchanges == 1


def test_recreated_namespace_gets_a_copy_without_an_exchange(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    fleet.add("steady")
    namespace = fleet.add("reborn")
    path = f"/api/v1/namespaces/{namespace}"
    start()
    fleet.create()
    fleet.until_ready("2/2")
    for _ in range(2):
        fleet.kube.delete(path)
        fleet.until_ready("1/1")
        eventually(lambda: fleet.kube.get(path) is None, "it is gone")
        fleet.add("reborn")
        fleet.until_copied(namespace, SOON)
        fleet.until_ready("2/2")
    assert endpoint.exchanges == 1


def test_terminating_namespace_is_skipped(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    fleet.add("steady")
    stuck = fleet.add("stuck")
    configmaps = f"/api/v1/namespaces/{stuck}/configmaps"
    held = {"metadata": {"name": "held", "finalizers": ["example.com/held"]}}
    fleet.kube.create(configmaps, held)
    start()
    fleet.create()
    fleet.until_ready("2/2")
    try:
        fleet.kube.delete(f"/api/v1/namespaces/{stuck}")
        fleet.until_ready("1/1")
        assert not fleet.failures()
        assert fleet.condition("TargetsReady") == ("True", "AllCopied")
    finally:
        fleet.kube.patch(f"{configmaps}/held", {"metadata": {"finalizers": None}})
    assert endpoint.exchanges == 1


def test_no_selected_namespace_is_ready_without_an_exchange(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    start()
    fleet.create()
    fleet.until_condition("Ready", "True", "NoNamespaceSelected")
    assert fleet.condition("TargetsReady") == ("True", "NoNamespaceSelected")
    assert fleet.status()["targets"]["summary"] == "0/0"
    assert endpoint.exchanges == 0
    namespace = fleet.add("first")
    fleet.until_copied(namespace)
    assert endpoint.exchanges == 1


def test_deleted_resource_takes_its_copies_with_it(fleet: Fleet, start: StartFleetOperator) -> None:
    namespaces = [fleet.add("a"), fleet.add("b")]
    start()
    fleet.create()
    fleet.until_ready("2/2")
    fleet.kube.delete(cluster_token_path(fleet.name))
    for namespace in namespaces:
        fleet.until_removed(namespace)


def test_changed_selector_moves_the_copies(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    kept, left = fleet.add("kept"), fleet.add("left")
    joined = fleet.add("joined", labelled=False)
    start()
    fleet.create()
    fleet.until_ready("2/2")
    names = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [kept, joined]}
    selector = {"matchLabels": None, "matchExpressions": [names]}
    fleet.patch({"spec": {"namespaceSelector": selector}})
    fleet.until_copied(joined)
    fleet.until_removed(left)
    fleet.until_ready("2/2")
    assert fleet.token(kept) == fleet.token(joined)
    assert endpoint.exchanges == 1


def test_template_change_rewrites_all_copies(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    namespaces = [fleet.add("a"), fleet.add("b"), fleet.add("c")]
    start()
    fleet.create()
    fleet.until_ready("3/3")
    template = {"data": {"authorization": "Bearer ${access_token}"}}
    fleet.patch({"spec": {"target": {"name": TARGET, "template": template}}})

    def applied() -> bool:
        copies = [fleet.kube.secret(namespace, TARGET) or {} for namespace in namespaces]
        return all(one.get("authorization") == f"Bearer {one['access_token']}" for one in copies)

    eventually(applied, "the template is applied")
    assert endpoint.exchanges == 1
