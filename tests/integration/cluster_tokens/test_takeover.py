"""Restarts and changes of leader cost no exchange, and finish what was begun."""

import pytest

from tests.integration.cluster_tokens.conftest import StartFleetOperator
from tests.support.api import eventually
from tests.support.audit import AuditLog
from tests.support.cluster import Cluster
from tests.support.fleet import TARGET, Fleet
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)

MANY = 100
SHORT_LEASE = (
    "--leader-elect",
    "--leader-election-lease-duration=4s",
    "--leader-election-renew-deadline=3s",
    "--leader-election-retry-period=1s",
)


def test_restart_costs_no_exchange_or_write(
    cluster: Cluster, fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    audit = AuditLog(cluster.audit_log)
    for number in range(5):
        fleet.add(f"team-{number}")
    operator = start()
    fleet.create()
    fleet.until_ready("5/5")
    mark = audit.mark()
    assert operator.stop() == 0
    operator.start()
    operator.wait_ready()
    success = ("pinecone_token_reconciles_total", "success")
    eventually(lambda: operator.metric(success[0], result=success[1]) >= 1, "it was reconciled")
    # Once this is in the audit log, everything before it is.
    fleet.add("late")
    fleet.until_ready("6/6")
    eventually(
        lambda: any(one.namespace.startswith("late") for one in audit.since(mark)),
        "the audit log has the last write",
    )
    writes = [one for one in audit.since(mark) if one.verb in ("create", "patch", "delete")]
    assert {one.namespace for one in writes if one.resource == "secrets"} == {fleet.namespaces[-1]}
    reads = {
        one.name for one in audit.since(mark) if (one.verb, one.resource) == ("get", "secrets")
    }
    assert reads == {TARGET}  # not the credentials
    assert endpoint.exchanges == 1


def test_copies_are_removed_that_lost_their_label_meanwhile(
    fleet: Fleet, start: StartFleetOperator
) -> None:
    kept, left = fleet.add("kept"), fleet.add("left")
    operator = start()
    fleet.create()
    fleet.until_ready("2/2")
    assert operator.stop() == 0
    fleet.unselect(left)
    operator.start()
    operator.wait_ready()
    fleet.until_removed(left)
    fleet.until_ready("1/1")
    assert fleet.copy(kept) is not None


def test_next_leader_finishes_a_refresh_with_the_same_token(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    namespaces = [fleet.add(f"team-{number}") for number in range(MANY)]
    operator = start()
    fleet.create()
    eventually(lambda: fleet.token(namespaces[0]), "the first copy is there", poll=0)
    operator.kill()
    written = [namespace for namespace in namespaces if fleet.copy(namespace)]
    assert 0 < len(written) < MANY
    operator.start()
    fleet.until_ready(f"{MANY}/{MANY}")
    assert {fleet.token(namespace) for namespace in namespaces} == {endpoint.tokens[0]}
    assert endpoint.exchanges == 1


def test_standby_finishes_a_later_refresh_of_a_killed_leader(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    namespaces = [fleet.add(f"team-{number:02}") for number in range(MANY)]
    election = (*SHORT_LEASE, f"--leader-election-namespace={fleet.operators}")
    replicas = [start(*election), start(*election)]
    fleet.create()
    fleet.until_ready(f"{MANY}/{MANY}")
    (first,) = endpoint.tokens
    (leader,) = (one for one in replicas if one.metric("pinecone_token_leader") == 1)
    name = "pinecone.token-operator.dev/refresh-requested-at"
    fleet.patch({"metadata": {"annotations": {name: "now"}}})
    eventually(lambda: fleet.token(namespaces[0]) != first, "the refresh has begun", poll=0)
    leader.kill()
    tokens = [fleet.token(namespace) for namespace in namespaces]
    assert 0 < tokens.count(first) < MANY
    assert set(tokens) == set(endpoint.tokens)  # the others are valid, and none is missing

    def finished() -> bool:
        return {fleet.token(namespace) for namespace in namespaces} == {endpoint.tokens[-1]}

    eventually(finished, "the standby has finished the refresh")
    fleet.until_ready(f"{MANY}/{MANY}")
    assert fleet.status()["lastHandledRefreshRequest"] == "now"
    assert endpoint.exchanges == 2


def test_each_resource_belongs_to_one_shard(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    for number in range(4):
        fleet.add(f"team-{number}")
    first, second = start("--shard=0/2"), start("--shard=1/2")
    fleet.create()
    fleet.until_ready("4/4")
    reconciles = [
        operator.metric("pinecone_token_reconciles_total", result="success")
        for operator in (first, second)
    ]
    assert sorted(count > 0 for count in reconciles) == [False, True]
    assert endpoint.exchanges == 1


def test_selected_namespaces_are_limited_to_the_watched_ones(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    watched, other = fleet.add("watched"), fleet.add("other")
    later = fleet.add("later", labelled=False)
    start(namespaces=(watched, later))
    fleet.create()
    fleet.until_ready("1/1")
    fleet.select(later)
    fleet.until_copied(later)
    assert fleet.copy(other) is None
    # The credentials are watched although their namespace is not served.
    fleet.kube.patch(
        f"/api/v1/namespaces/{fleet.operators}/secrets/account",
        {"stringData": {"client_id": "another-client-id"}},
    )
    eventually(lambda: endpoint.exchanges == 2, "changed credentials are used at once")
    eventually(
        lambda: fleet.token(watched) == fleet.token(later) == endpoint.tokens[-1],
        "both copies are the new token",
    )
