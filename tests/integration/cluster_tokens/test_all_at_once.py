"""Everything that can happen to namespaces happens at the same time, during a refresh."""

import contextlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.cluster_tokens.conftest import StartFleetOperator
from tests.support.api import KubeError, eventually, secret_path
from tests.support.cluster import Cluster
from tests.support.encoding import encode
from tests.support.fleet import TARGET, Fleet
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)

FLAPS = 15
REQUEST = "pinecone.token-operator.dev/refresh-requested-at"
SOON = 5.0
"""Seconds in which good copies are right; a request that was waited for would take ten."""


def namespace_path(name: str) -> str:
    return f"/api/v1/namespaces/{name}"


def seize(fleet: Fleet, namespace: str) -> None:
    """Put someone else's Secret in the place of a copy."""
    theirs = {"type": "Opaque", "metadata": {"name": TARGET}, "data": {"theirs": encode("1")}}
    fleet.kube.replace(secret_path(namespace, TARGET), theirs)


def exhaust(fleet: Fleet, namespace: str) -> None:
    """Set a quota of no Secrets and delete the copy."""
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"secrets": "0"}}}
    fleet.kube.create(f"{namespace_path(namespace)}/resourcequotas", quota)
    with contextlib.suppress(KubeError):
        fleet.kube.delete(secret_path(namespace, TARGET))


def flap(fleet: Fleet, namespace: str) -> None:
    for _ in range(FLAPS):
        fleet.unselect(namespace)
        fleet.select(namespace)


def recreate(fleet: Fleet, namespace: str) -> None:
    path = namespace_path(namespace)
    fleet.kube.delete(path)
    eventually(lambda: fleet.kube.get(path) is None, "the namespace is gone", 60)
    fleet.add(namespace.removesuffix(f"-{fleet.label}"))


def until_token(fleet: Fleet, namespace: str, token: str) -> None:
    eventually(lambda: fleet.token(namespace) == token, f"{namespace} holds the new token", SOON)


@pytest.fixture
def stuck(fleet: Fleet) -> Iterator[str]:
    """Return a namespace that stays terminating once it is deleted."""
    name = fleet.add("stuck")
    configmaps = f"{namespace_path(name)}/configmaps"
    held = {"metadata": {"name": "held", "finalizers": ["example.com/held"]}}
    fleet.kube.create(configmaps, held)
    yield name
    fleet.kube.patch(f"{configmaps}/held", {"metadata": {"finalizers": None}})


def test_good_copies_stay_right_when_everything_happens_at_once(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint, stuck: str
) -> None:
    steady = [fleet.add(f"steady-{number:02}") for number in range(10)]
    seized, full, flapping, reborn, left = (
        fleet.add(name) for name in ("seized", "full", "flapping", "reborn", "left")
    )
    joined = fleet.add("joined", labelled=False)
    start()
    fleet.create()
    fleet.until_ready("16/16")
    before = fleet.token(steady[0])

    faults: list[Callable[[], None]] = [
        lambda: seize(fleet, seized),
        lambda: exhaust(fleet, full),
        lambda: flap(fleet, flapping),
        lambda: recreate(fleet, reborn),
        lambda: fleet.kube.delete(namespace_path(stuck)),
        lambda: fleet.unselect(left),
        lambda: fleet.select(joined),
        lambda: fleet.patch({"metadata": {"annotations": {REQUEST: "now"}}}),
    ]
    with ThreadPoolExecutor(len(faults)) as pool:
        begun = [pool.submit(fault) for fault in faults]
        eventually(lambda: endpoint.exchanges == 2, "the refresh is made", 30)
        token = endpoint.tokens[-1]
        for namespace in (*steady, joined):
            until_token(fleet, namespace, token)
        fleet.until_removed(left, SOON)
        for one in begun:
            one.result()
    for namespace in (flapping, reborn):
        until_token(fleet, namespace, token)
    # Neither the namespace that lost its label nor the terminating one counts.
    fleet.until_ready("13/15")
    assert fleet.failures() == {seized: "TargetNotOwned", full: "TargetNotWritable"}
    assert fleet.condition("Ready") == ("True", "TokenValid")
    assert fleet.condition("Refreshed") == ("True", "Succeeded")
    assert fleet.kube.secret(seized, TARGET) == {"theirs": "1"}
    assert len(json.dumps(fleet.status())) < 4000
    assert before != token
    assert endpoint.exchanges == 2  # the first token, and the requested refresh
