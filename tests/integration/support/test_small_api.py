"""The model of the API server, which the simulations run on, answers like a real API server.

The requests of some simulations, the operator's and everyone else's, are sent to a real API server.
Each must get the same response: the same status, and the same object except for what no two servers
have in common.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.life.machine import ALLOWED, HOUR, SHARED, TAMPERING, Simulation, spec
from tests.life.managed_fields import managers
from tests.life.paths import NAMESPACE, SECRETS, TOKENS
from tests.life.small_api import Call
from tests.support.api import Kube, KubeError
from tests.support.cluster import Cluster
from tests.support.crd import install_crd

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)

SIMULATIONS: Final = 4
CONDITION: Final = {
    "type": "Tested",
    "status": "True",
    "reason": "Tested",
    "message": "",
    "lastTransitionTime": "2026-11-25T12:00:00Z",
}
STATUS_OPERATIONS: Final[list[list[dict[str, Any]]]] = [
    [{"op": "replace", "path": "/status/failedAttempts", "value": 2}],
    [{"op": "add", "path": "/status/conditions/-", "value": CONDITION}],
    [
        {"op": "test", "path": "/status/failedAttempts", "value": 2},
        {"op": "remove", "path": "/status/failedAttempts"},
    ],
    [{"op": "remove", "path": "/status/failedAttempts"}],
    [{"op": "replace", "path": "/status/conditions/9", "value": CONDITION}],
]
_UID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What differs between servers.
_OWN: Final = ("managedFields", "resourceVersion", "creationTimestamp", "deletionTimestamp")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """Return an API server without a garbage collector: the simulations have their own."""
    with Cluster(tmp_path_factory.mktemp("bare")) as cluster:
        install_crd(cluster)
        with Kube(cluster) as kube:
            yield kube


def recordings() -> list[list[Call]]:
    """Return the requests of some simulations."""
    found: list[list[Call]] = []

    class Recorded(Simulation):
        def __init__(self) -> None:
            found.append([])
            super().__init__(found[-1].append)

    run_state_machine_as_test(
        Recorded,
        settings=settings(
            max_examples=SIMULATIONS,
            stateful_step_count=40,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return found


def full_recording() -> list[Call]:
    """Return requests in which everything happens that the model has rules for."""
    calls: list[Call] = []
    simulation = Simulation(calls.append)
    simulation.begin(
        [spec("Owner", "Delete", "one", None, "10m"), spec("Merge", "Delete", "two", SHARED, None)]
    )
    simulation.replace_secret(SHARED, ALLOWED)
    for how in TAMPERING:
        for name in ("a", SHARED):
            simulation.tamper(name, how)
            simulation.wait(1)
    simulation.delete_secret("a")
    simulation.overtake_writes(2)
    simulation.lose_replies(1)
    simulation.wait(HOUR)
    simulation.hold("a", held=True)
    simulation.delete("a")
    simulation.delete("a")
    simulation.suspend("a", suspend=True)
    simulation.hold("a", held=False)
    simulation.replace("b", spec("Owner", "Retain", "one", None, None))
    world = simulation.world
    another = "00000000-0000-4000-8000-999999999999"
    for path in (f"{TOKENS}/b", f"{TOKENS}/b/status", f"{SECRETS}/b"):
        world.ask("PATCH", path, {"metadata": {"uid": another, "labels": {"a": "b"}}})
        world.ask("PATCH", path, {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}})
        world.ask("PATCH", path, {"metadata": {"labels": None}})
    for uid in (another, (world.api.find(f"{TOKENS}/b") or {})["metadata"]["uid"]):
        for _ in range(2):
            test = {"op": "test", "path": "/metadata/uid", "value": uid}
            add = {"op": "add", "path": "/status", "value": {"failedAttempts": 1}}
            world.ask("PATCH", f"{TOKENS}/b/status", [test, add])
    for operations in STATUS_OPERATIONS:
        world.ask("PATCH", f"{TOKENS}/b/status", operations)
    world.ask("PATCH", f"{TOKENS}/b", {"status": {"failedAttempts": 7}})
    for labels in ({"a": "b"}, {"a": "c"}):
        whole = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"a": "Yg=="}}
        world.ask("PUT", f"{SECRETS}/b", {**whole, "metadata": {"name": "b", "labels": labels}})
    world.ask("PATCH", f"{TOKENS}/b/status", {"spec": {"suspend": True}})
    world.ask("PATCH", f"{SECRETS}/b", {"type": "example.com/other"})
    simulation.create("b", spec("Owner", "Retain", "one", None, None))
    simulation.teardown()
    return calls


class Replay:
    """Replays a simulation on a real API server, in a namespace of its own."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._namespace = f"replay-{uuid.uuid4().hex[:12]}"
        self._uids: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        kube.create("/api/v1/namespaces", {"metadata": {"name": self._namespace}})

    def play(self, call: Call) -> None:
        """Send a request and compare the responses."""
        try:
            status, answer = 200, self._ask(call)
        except KubeError as error:
            status, answer = error.status, {}
        what = f"{call.method} {call.path} {call.body}"
        assert status == call.status, what
        if call.method == "DELETE" or not call.answer:
            return
        self._map(call.answer, answer, what)
        assert self._common(answer) == self._common(call.answer), what
        if call.path.startswith(SECRETS):
            assert self._managers(answer) == self._managers(call.answer), what

    def _ask(self, call: Call) -> Mapping[str, Any]:
        path = call.path.replace(f"/{NAMESPACE}/", f"/{self._namespace}/")
        body = self._theirs(call.body)
        written = f"{path}?fieldManager={call.by}"
        if call.method == "POST":
            return self._kube.create(written, body)
        if isinstance(body, list):
            return self._kube.patch_by(written, body)
        if call.method == "PATCH":
            return self._kube.patch(written, body)
        if call.method == "PUT":
            return self._kube.replace(written, body)
        if call.method == "DELETE":
            self._kube.delete(path)
            return {}
        found = self._kube.get(path)
        if found is None:
            raise KubeError(404, "not found")
        return found

    def _map(self, small: Mapping[str, Any], real: Mapping[str, Any], what: str) -> None:
        """Map UIDs and versions; what is mapped already must be mapped to the same again."""
        one, other = small["metadata"], real["metadata"]
        assert self._uids.setdefault(one["uid"], other["uid"]) == other["uid"], what
        version = one["resourceVersion"]
        known = self._versions.setdefault(version, other["resourceVersion"])
        assert known == other["resourceVersion"], f"{what}: the resourceVersion"

    def _theirs(self, value: Any) -> Any:
        """Return a part of a body with the real API server's UIDs, versions and namespace."""
        if isinstance(value, Mapping):
            return {
                key: self._versions.get(inner, inner)
                if key == "resourceVersion"
                else self._theirs(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [self._theirs(inner) for inner in value]
        if isinstance(value, str):
            value = _UID.sub(lambda found: self._uids.get(found[0], found[0]), value)
            return self._namespace if value == NAMESPACE else value
        return value

    def _common(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Return what must be the same on both servers."""
        theirs = self._theirs(obj)
        metadata = {name: value for name, value in theirs["metadata"].items() if name not in _OWN}
        metadata.pop("deletionGracePeriodSeconds", None)
        metadata["deleting"] = "deletionTimestamp" in theirs["metadata"]
        return {**theirs, "metadata": metadata}

    def _managers(self, obj: Mapping[str, Any]) -> dict[str, set[tuple[str, ...]]]:
        """Return who manages which field."""
        return {
            manager: {tuple(self._theirs(name) for name in field) for field in fields}
            for manager, fields in managers(obj).items()
        }


def test_model_answers_like_the_real_api_server(bare: Kube) -> None:
    recorded = [full_recording(), *recordings()]
    for calls in recorded:
        replay = Replay(bare)
        for call in calls:
            replay.play(call)
    sent = [call for calls in recorded for call in calls]
    seen = {(call.method, call.status) for call in sent}
    # Otherwise little was compared.
    assert {("POST", 200), ("PATCH", 200), ("GET", 200), ("DELETE", 200)} <= seen
    assert {("POST", 409), ("PATCH", 409), ("PATCH", 422), ("GET", 404), ("PATCH", 404)} <= seen
    assert any(call.path.startswith(TOKENS) for call in sent)
    assert any(call.path.startswith(SECRETS) for call in sent)
