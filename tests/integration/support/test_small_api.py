"""Whether the model of the API server, which the lives are played on, is a true one.

The requests of some lives, those of the operator and those of everybody else, are played once more
on a real API server. Each must be answered alike: with the same status, and with the same object
but for what no two servers have in common.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from pinecone_token_operator.api.access_token import PLURAL
from tests.life.machine import ALLOWED, DAMAGE, HOUR, SHARED, Life, spec
from tests.life.small_api import NAMESPACE, SECRETS, TOKENS, Call
from tests.support.api import Kube, KubeError
from tests.support.cluster import Cluster
from tests.support.repository import CRD

LIVES: Final = 4
_UID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What each server has of its own, and what it says in another way.
_OWN: Final = ("managedFields", "resourceVersion", "creationTimestamp", "deletionTimestamp")


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """Return an API server without a garbage collector: the lives have one of their own."""
    with Cluster(tmp_path_factory.mktemp("lonely")) as cluster:
        cluster.kubectl("apply", "--server-side", "-f", str(CRD))
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRD))
        cluster.kubectl("get", PLURAL, "--all-namespaces")
        with Kube(cluster) as kube:
            yield kube


def recordings() -> list[list[Call]]:
    """Return the requests of some lives."""
    found: list[list[Call]] = []

    class Recorded(Life):
        def teardown(self) -> None:
            super().teardown()
            found.append(self.world.api.calls)

    run_state_machine_as_test(
        Recorded,
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=40,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return found


def a_full_life() -> list[Call]:
    """Return the requests of a life in which all happens that the model has rules for."""
    life = Life()
    life.begin(
        [spec("Owner", "Delete", "one", None, "10m"), spec("Merge", "Delete", "two", SHARED, None)]
    )
    life.put_in_the_way(SHARED, ALLOWED)
    for damage in DAMAGE:
        for name in ("a", SHARED):
            life.damage(name, damage)
            life.wait(1)
    life.delete_secret("a")
    life.overtake_writes(2)
    life.lose_replies(1)
    life.wait(HOUR)
    life.hold("a", held=True)
    life.delete("a")
    life.delete("a")
    life.suspend("a", suspend=True)
    life.hold("a", held=False)
    life.replace("b", spec("Owner", "Retain", "one", None, None))
    world = life.world
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
    world.ask("PATCH", f"{TOKENS}/b", {"status": {"failedAttempts": 7}})
    world.ask("PATCH", f"{TOKENS}/b/status", {"spec": {"suspend": True}})
    world.ask("PATCH", f"{SECRETS}/b", {"type": "example.com/other"})
    life.create("b", spec("Owner", "Retain", "one", None, None))
    life.teardown()
    return world.api.calls


class Replay:
    """One life on a real API server, in a namespace of its own."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._namespace = f"life-{uuid.uuid4().hex[:12]}"
        self._uids: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        kube.create("/api/v1/namespaces", {"metadata": {"name": self._namespace}})

    def play(self, call: Call) -> None:
        """Make a request, and compare the answers."""
        try:
            status, answer = 200, self._ask(call)
        except KubeError as error:
            status, answer = error.status, {}
        what = f"{call.method} {call.path} {call.body}"
        assert status == call.status, what
        if call.method == "DELETE" or not call.answer:
            return
        self._meet(call.answer, answer, what)
        assert self._common(answer) == self._common(call.answer), what

    def _ask(self, call: Call) -> Mapping[str, Any]:
        path = call.path.replace(f"/{NAMESPACE}/", f"/{self._namespace}/")
        body = self._theirs(call.body)
        if call.method == "POST":
            return self._kube.create(path, body)
        if isinstance(body, list):
            return self._kube.patch_by(path, body)
        if call.method == "PATCH":
            return self._kube.patch(path, body)
        if call.method == "DELETE":
            self._kube.delete(path)
            return {}
        found = self._kube.get(path)
        if found is None:
            raise KubeError(404, "not found")
        return found

    def _meet(self, small: Mapping[str, Any], real: Mapping[str, Any], what: str) -> None:
        """Remember what is called what; a version that is known must be the same again."""
        one, other = small["metadata"], real["metadata"]
        assert self._uids.setdefault(one["uid"], other["uid"]) == other["uid"], what
        version = one["resourceVersion"]
        known = self._versions.setdefault(version, other["resourceVersion"])
        assert known == other["resourceVersion"], f"{what}: the resourceVersion"

    def _theirs(self, value: Any) -> Any:
        """Return a part of a body in the words of the real API server."""
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
        """Return what both servers must have in common."""
        theirs = self._theirs(obj)
        metadata = {name: value for name, value in theirs["metadata"].items() if name not in _OWN}
        metadata.pop("deletionGracePeriodSeconds", None)
        metadata["goes"] = "deletionTimestamp" in theirs["metadata"]
        return {**theirs, "metadata": metadata}


def test_the_real_api_server_answers_as_the_model_does(lonely: Kube) -> None:
    played = [a_full_life(), *recordings()]
    for calls in played:
        replay = Replay(lonely)
        for call in calls:
            replay.play(call)
    made = [call for calls in played for call in calls]
    seen = {(call.method, call.status) for call in made}
    # Otherwise little was compared.
    assert {("POST", 200), ("PATCH", 200), ("GET", 200), ("DELETE", 200)} <= seen
    assert {("POST", 409), ("PATCH", 409), ("PATCH", 422), ("GET", 404), ("PATCH", 404)} <= seen
    assert any(call.path.startswith(TOKENS) for call in made)
    assert any(call.path.startswith(SECRETS) for call in made)
