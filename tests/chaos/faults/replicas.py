"""Faults of the operator's own processes and of their clocks."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from tests.chaos.environment import Environment
from tests.chaos.faults.injection import Inject, Injected
from tests.chaos.replicas import Replica
from tests.chaos.retry import Interrupted

_LEADER_SECONDS = 40.0
_POLL_SECONDS = 0.05


def _to_leader(do: Callable[[Replica], object]) -> Inject:
    @contextmanager
    def inject(env: Environment, rng: random.Random) -> Iterator[Injected]:
        replica = _leader(env, rng)
        injected = Injected(env.seconds(), note=replica.name)
        do(replica)
        yield injected

    return inject


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
    "operator: leader killed": _to_leader(Replica.kill),
    "operator: leader terminated": _to_leader(Replica.terminate),
    "operator: leader frozen": _frozen,
    "operator: all replicas restarted": _all_restarted,
    "clock: 5 min ahead": _clock_stepped(timedelta(minutes=5)),
    "clock: 5 min behind": _clock_stepped(timedelta(minutes=-5)),
}
