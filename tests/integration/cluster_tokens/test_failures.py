"""One namespace that fails does not hold up the others, and nothing of others is touched."""

import pytest

from tests.integration.cluster_tokens.conftest import StartFleetOperator
from tests.support.api import eventually, secret_path
from tests.support.cluster import Cluster
from tests.support.encoding import encode
from tests.support.fleet import TARGET, Fleet
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)


def quota(secrets: int) -> dict[str, object]:
    return {"metadata": {"name": "few"}, "spec": {"hard": {"secrets": str(secrets)}}}


def test_failing_namespaces_do_not_hold_up_the_others(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    good = [fleet.add(f"good-{number}") for number in range(3)]
    taken, full = fleet.add("taken"), fleet.add("full")
    fleet.kube.create_secret(taken, TARGET, {"theirs": "1"})
    quotas = f"/api/v1/namespaces/{full}/resourcequotas"
    fleet.kube.create(quotas, quota(0))
    start()
    fleet.create()
    fleet.until_ready("3/5")
    assert fleet.failures() == {taken: "TargetNotOwned", full: "TargetNotWritable"}
    assert fleet.condition("Ready") == ("True", "TokenValid")
    assert fleet.condition("TargetsReady") == ("False", "CopiesFailed")
    assert fleet.kube.secret(taken, TARGET) == {"theirs": "1"}
    assert {fleet.token(namespace) for namespace in good} == set(endpoint.tokens)

    fleet.kube.delete(f"{quotas}/few")
    fleet.kube.delete(secret_path(taken, TARGET))
    fleet.until_ready("5/5", 90)
    assert fleet.condition("TargetsReady") == ("True", "AllCopied")
    assert endpoint.exchanges == 1
    # In no namespace is anything removed that is not the operator's.
    theirs = {"type": "Opaque", "metadata": {"name": TARGET}, "data": {"theirs": encode("2")}}
    fleet.kube.replace(secret_path(taken, TARGET), theirs)
    fleet.unselect(taken)
    fleet.until_ready("4/4")
    assert fleet.kube.secret(taken, TARGET) == {"theirs": "2"}


def test_refresh_goes_on_where_one_namespace_fails(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    good, full = fleet.add("good"), fleet.add("full")
    fleet.kube.create(f"/api/v1/namespaces/{full}/resourcequotas", quota(0))
    endpoint.lifetime = 6
    start()
    fleet.create()
    fleet.until_copied(good)
    for _ in range(2):
        before = endpoint.exchanges
        eventually(lambda before=before: endpoint.exchanges > before, "a refresh")  # type: ignore[misc]
        fleet.until_copied(good)
    fleet.until_condition("Ready", "True", "TokenValid")
    assert fleet.failures() == {full: "TargetNotWritable"}


def test_namespaced_resource_keeps_the_target(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    mine, other = fleet.add("mine"), fleet.add("other")
    start()
    fleet.create()
    fleet.until_ready("2/2")
    fleet.kube.create_credentials(mine)
    fleet.kube.create_token(mine, "own", target={"name": TARGET})
    fleet.kube.until(mine, "Ready", "TokenValid", name="own")
    fleet.until_ready("1/2")
    assert fleet.failures() == {mine: "TargetConflict"}
    assert fleet.token(mine) != fleet.token(other)
    assert endpoint.exchanges == 2
    path = "/apis/pinecone.token-operator.dev/v1alpha1/namespaces"
    fleet.kube.delete(f"{path}/{mine}/pineconeaccesstokens/own")
    fleet.until_ready("2/2")
    assert fleet.token(mine) == fleet.token(other)
    assert endpoint.exchanges == 2


def test_status_stays_small_with_many_failures(fleet: Fleet, start: StartFleetOperator) -> None:
    namespaces = [fleet.add(f"team-with-a-rather-long-name-{number:03}") for number in range(60)]
    for namespace in namespaces:
        fleet.kube.create_secret(namespace, TARGET, {"theirs": "1"})
    fleet.add("good")
    start()
    fleet.create()
    fleet.until_ready("1/61", 120)
    targets = fleet.status()["targets"]
    assert len(targets["failed"]) == 50
    assert targets["moreFailed"] == 10
    assert len(str(targets)) < 10_000


def test_suspended_resource_exchanges_and_writes_nothing(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    first, second = fleet.add("first"), fleet.add("second")
    start()
    fleet.create()
    fleet.until_ready("2/2")
    fleet.patch({"spec": {"suspend": True}})
    fleet.until_condition("Refreshed", "False", "Suspended")
    third = fleet.add("third")
    fleet.unselect(second)
    fleet.until_removed(second)
    fleet.until_ready("1/2")
    assert fleet.copy(third) is None
    fleet.patch({"spec": {"suspend": False}})
    fleet.until_copied(third)
    assert fleet.token(third) == fleet.token(first)
    assert endpoint.exchanges == 1


def test_requested_refresh_reaches_all_copies(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    namespaces = [fleet.add("a"), fleet.add("b")]
    start()
    fleet.create()
    fleet.until_ready("2/2")
    before = fleet.token(namespaces[0])
    name = "pinecone.token-operator.dev/refresh-requested-at"
    fleet.patch({"metadata": {"annotations": {name: "now"}}})
    while fleet.status().get("lastHandledRefreshRequest") != "now":
        fleet.until_copied(namespaces[0])
    fleet.until_ready("2/2")
    tokens = {fleet.token(namespace) for namespace in namespaces}
    assert len(tokens) == 1
    assert before not in tokens
    assert endpoint.exchanges == 2


def test_new_namespace_gets_a_copy_while_the_endpoint_fails(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    first = fleet.add("first")
    endpoint.lifetime = 60
    start()
    fleet.create(refreshBefore="30s")
    fleet.until_ready("1/1")
    endpoint.mode = "down"
    name = "pinecone.token-operator.dev/refresh-requested-at"
    fleet.patch({"metadata": {"annotations": {name: "now"}}})
    fleet.until_condition("Refreshed", "False", "Unavailable")
    second = fleet.add("second")
    fleet.until_copied(second, 5)
    assert fleet.token(second) == fleet.token(first)


@pytest.mark.parametrize("broken", ["missing", "rejected"])
def test_new_namespace_gets_a_copy_without_usable_credentials(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint, broken: str
) -> None:
    first = fleet.add("first")
    start()
    fleet.create()
    fleet.until_ready("1/1")
    token, path = fleet.token(first), secret_path(fleet.operators, "account")
    if broken == "missing":
        fleet.kube.delete(path)
        fleet.until_condition("Refreshed", "False", "CredentialsNotFound")
    else:
        endpoint.mode = "401"
        fleet.kube.patch(path, {"stringData": {"client_id": "another-client-id"}})
        fleet.until_condition("Refreshed", "False", "Rejected")
    second = fleet.add("second")
    fleet.until_copied(second, 5)
    fleet.until_ready("2/2")
    assert fleet.token(second) == fleet.token(first) == token
    assert endpoint.exchanges == 1
