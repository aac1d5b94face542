"""The operator's own processes, and their clocks."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from tests.chaos.injection import Inject, Made
from tests.chaos.place import Place
from tests.chaos.replicas import Replica
from tests.chaos.stubborn import BrokenOff

_LEADER_SECONDS = 40.0
_POLL_SECONDS = 0.05


def _to_leader(do: Callable[[Replica], object]) -> Inject:
    @contextmanager
    def inject(place: Place, rng: random.Random) -> Iterator[Made]:
        replica = _leader(place, rng)
        made = Made(place.seconds(), note=replica.name)
        do(replica)
        yield made

    return inject


@contextmanager
def _stopped(place: Place, rng: random.Random) -> Iterator[Made]:
    replica = _leader(place, rng)
    made = Made(place.seconds(), note=replica.name)
    replica.stop()
    try:
        yield made
    finally:
        replica.proceed()


@contextmanager
def _all_restarted(place: Place, rng: random.Random) -> Iterator[Made]:
    end = rng.choice((Replica.kill, Replica.terminate))
    made = Made(place.seconds(), note=end.__name__)
    for replica in place.replicas.all:
        end(replica)
    yield made


def _clock_stepped(step: timedelta) -> Inject:
    @contextmanager
    def inject(place: Place, rng: random.Random) -> Iterator[Made]:
        replica = _leader(place, rng)
        assert replica.clock is not None  # or the plan would have left this out
        made = Made(place.seconds(), note=replica.name)
        replica.clock.set(step)
        try:
            yield made
        finally:
            replica.clock.set(timedelta())

    return inject


def _leader(place: Place, rng: random.Random) -> Replica:
    """Return who leads, waiting for one; if nobody ever does, any replica."""
    deadline = time.monotonic() + _LEADER_SECONDS
    while time.monotonic() < deadline:
        name = place.writes.leader
        # One that is about to end would be frozen amid that, or killed twice.
        if name and place.replicas.named(name).at_work:
            return place.replicas.named(name)
        if place.stop.wait(_POLL_SECONDS):
            raise BrokenOff
    return rng.choice(place.replicas.all)


FAULTS: Mapping[str, Inject] = {
    "operator: leader killed": _to_leader(Replica.kill),
    "operator: leader terminated": _to_leader(Replica.terminate),
    "operator: leader stopped and continued": _stopped,
    "operator: all replicas restarted": _all_restarted,
    "clock: 5 min ahead": _clock_stepped(timedelta(minutes=5)),
    "clock: 5 min behind": _clock_stepped(timedelta(minutes=-5)),
}
