"""Faults of the operator's own processes and of their clocks."""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta

import httpx

from tests.chaos.environment import Environment
from tests.chaos.faults.injection import Inject, Injected
from tests.chaos.population import SHARED_TARGET, Fleet
from tests.chaos.replicas import Replica
from tests.chaos.retry import Interrupted
from tests.support.api import Kube, KubeError
from tests.support.documented import CLUSTER_PLURAL, GROUP, REFRESH_REQUESTED_AT, VERSION
from tests.support.encoding import text

_LEADER_SECONDS = 40.0
_POLL_SECONDS = 0.05
_FIRST_COPY_SECONDS = 5.0
_REQUEST_SECONDS = 3.0


def _to_leader(do: Callable[[Replica], object]) -> Inject:
    @contextmanager
    def inject(env: Environment, rng: random.Random) -> Iterator[Injected]:
        replica = _leader(env, rng)
        injected = Injected(env.seconds(), note=replica.name)
        do(replica)
        yield injected

    return inject


@contextmanager
def _killed(env: Environment, rng: random.Random) -> Iterator[Injected]:
    """Kill the leader between the first and the last copy of a refresh, if it makes one now."""
    _leader(env, rng)  # there has to be one that makes it
    fleet = max(env.fleets, key=lambda each: len(each.namespaces))
    with Kube(env.cluster, _REQUEST_SECONDS) as kube:
        written = _until_first_copy(env, kube, fleet)
        replica, began = _leader(env, rng), env.seconds()
        replica.kill()
    yield Injected(began, note=f"{replica.name}, {written} of {len(fleet.namespaces)} copies seen")


def _until_first_copy(env: Environment, kube: Kube, fleet: Fleet) -> int:
    """Request a refresh, and wait a moment for copies of its token; return how many there are."""
    deadline = time.monotonic() + _FIRST_COPY_SECONDS
    path = f"/apis/{GROUP}/{VERSION}/{CLUSTER_PLURAL}/{fleet.name}"
    request = {"metadata": {"annotations": {REFRESH_REQUESTED_AT: uuid.uuid4().hex}}}
    # An API server or a token endpoint that is down is what the run is about.
    with suppress(httpx.HTTPError, KubeError):
        before = set(_tokens(kube, fleet))
        env.witness.requests.setdefault(fleet.key, []).append(env.seconds())
        kube.patch(path, request)
        while time.monotonic() < deadline:
            written = sum(token not in before for token in _tokens(kube, fleet))
            if written:
                return written
            if env.stop.wait(_POLL_SECONDS / 5):
                raise Interrupted
    return 0


def _tokens(kube: Kube, fleet: Fleet) -> list[str]:
    query = f"fieldSelector=metadata.name%3D{SHARED_TARGET}"
    items = (kube.get(f"/api/v1/secrets?{query}") or {}).get("items", ())
    return [
        text(item.get("data"), "access_token")
        for item in items
        if item["metadata"]["namespace"] in fleet.namespaces
    ]


@contextmanager
def _frozen(env: Environment, rng: random.Random) -> Iterator[Injected]:
    replica = _leader(env, rng)
    injected = Injected(env.seconds(), note=replica.name)
    replica.freeze()
    try:
        yield injected
    finally:
        replica.unfreeze()


@contextmanager
def _all_restarted(env: Environment, rng: random.Random) -> Iterator[Injected]:
    end = rng.choice((Replica.kill, Replica.terminate))
    injected = Injected(env.seconds(), note=end.__name__)
    for replica in env.replicas.all:
        end(replica)
    yield injected


def _clock_stepped(step: timedelta) -> Inject:
    @contextmanager
    def inject(env: Environment, rng: random.Random) -> Iterator[Injected]:
        replica = _leader(env, rng)
        assert replica.clock is not None  # or the plan would have left this out
        injected = Injected(env.seconds(), note=replica.name)
        replica.clock.set(step)
        try:
            yield injected
        finally:
            replica.clock.set(timedelta())

    return inject


def _leader(env: Environment, rng: random.Random) -> Replica:
    """Return the leader, waiting for one if need be; any replica if there never is one."""
    deadline = time.monotonic() + _LEADER_SECONDS
    while time.monotonic() < deadline:
        name = env.write_log.leader
        # A replica that is about to exit would be frozen on its way out, or killed twice.
        if name and env.replicas.named(name).is_staying:
            return env.replicas.named(name)
        if env.stop.wait(_POLL_SECONDS):
            raise Interrupted
    return rng.choice(env.replicas.all)


FAULTS: Mapping[str, Inject] = {
    "operator: leader killed": _killed,
    "operator: leader terminated": _to_leader(Replica.terminate),
    "operator: leader frozen": _frozen,
    "operator: all replicas restarted": _all_restarted,
    "clock: 5 min ahead": _clock_stepped(timedelta(minutes=5)),
    "clock: 5 min behind": _clock_stepped(timedelta(minutes=-5)),
}
