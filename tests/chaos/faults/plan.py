"""The plan of a run: which fault comes when; a pure function of the seed and the length.

A long run comes in waves: outages of all lanes overlap in a wave that is shorter than the margin
with which tokens are refreshed; a calm longer than the margin follows. Every fourth wave is longer
than the margin, to show recovery from what no operator could bridge. Faults of some resources only
ignore the waves. A short run has every kind once, as densely as possible.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.chaos.faults.catalog import KINDS
from tests.chaos.records import OUTAGES, Kind, Lane

# From this length on, waves leave room for every kind.
WAVES_FROM = 600.0

_WAVE = (17.0, 26.0)
_LONG_WAVE = (45.0, 55.0)
_LONG_EVERY = 4
_CALM = (32.0, 40.0)
_BETWEEN = (0.5, 2.5)
_ELSEWHERE = (3.0, 8.0)
# The operator gives up a silent watch after 70 s, and has 60 s after the last fault.
_SILENT_UNTIL_END = 20.0
_SILENT = "connection: watches silent"


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to be injected; times are in seconds from the start.

    Attributes:
        number: its position in the plan; with the seed it decides everything else that is random.
        kind: what to inject.
        at: when.
        hold: how long to hold it.
    """

    number: int
    kind: Kind
    at: float
    hold: float

    @property
    def over(self) -> float:
        """Return when it is expected to be over."""
        return self.at + self.hold + self.kind.overhead


def make_plan(
    seed: int, seconds: float, *, leave_out: frozenset[str] = frozenset()
) -> tuple[Planned, ...]:
    """Return the faults in the order in which they start.

    Args:
        seed: decides everything that is random.
        seconds: how long faults are injected.
        leave_out: the kinds that cannot be injected here.
    """
    rng = random.Random(seed)
    kinds = [kind for kind in KINDS if kind.name not in leave_out]
    decks = {lane: _Deck([kind for kind in kinds if kind.lane is lane], rng) for lane in Lane}
    if seconds < WAVES_FROM:
        drawn = [*_dense(decks, seconds, rng)]
    else:
        drawn = [*_waves(decks, seconds, rng), *_elsewhere(decks, seconds, rng)]
    ordered = sorted(drawn, key=lambda each: (each[1], each[0].name))
    return tuple(Planned(number, *each) for number, each in enumerate(ordered))


Drawn = tuple[Kind, float, float]
"""A kind, when it starts and how long it is held."""


class _Deck:
    """Deals each kind once, in random order, before it deals any of them again."""

    def __init__(self, kinds: list[Kind], rng: random.Random) -> None:
        self._kinds = kinds
        self._rng = rng
        self._left: list[Kind] = []
        self._latest: dict[str, float] = {}

    def deal(self, at: float, end: float) -> tuple[Kind, float] | None:
        """Return the first kind that fits in between and how long to hold it; None if none fits."""
        dealt = self._first(at, end)
        if dealt is None:
            # Those that did not fit stay in front.
            self._left += [kind for kind in self.shuffled() if kind not in self._left]
            dealt = self._first(at, end)
        return dealt

    def _first(self, at: float, end: float) -> tuple[Kind, float] | None:
        for kind in self._left:
            spare = end - at - _footprint(kind)
            allowed = at - self._latest.get(kind.name, -kind.min_spacing) >= kind.min_spacing
            if allowed and spare >= kind.min_hold:
                self._left.remove(kind)
                self._latest[kind.name] = at
                return kind, self._rng.uniform(kind.min_hold, min(kind.max_hold, spare))
        return None

    def shuffled(self) -> list[Kind]:
        """Return every kind once."""
        return self._rng.sample(self._kinds, len(self._kinds))


def _waves(decks: Mapping[Lane, _Deck], seconds: float, rng: random.Random) -> Iterator[Drawn]:
    begin, number = rng.uniform(3.0, 8.0), 0
    while begin < seconds:
        number += 1
        length = rng.uniform(*(_LONG_WAVE if number % _LONG_EVERY == 2 else _WAVE))
        end = min(begin + length, seconds)
        for lane in (*OUTAGES, Lane.CLOCK):
            at = begin + rng.uniform(0.0, 3.0)
            while dealt := decks[lane].deal(at, end):
                kind, hold = dealt
                if kind.name != _SILENT or at < seconds - _SILENT_UNTIL_END:
                    yield kind, at, hold
                at += hold + _footprint(kind) + rng.uniform(*_BETWEEN)
        begin = end + rng.uniform(*_CALM)


def _elsewhere(decks: Mapping[Lane, _Deck], seconds: float, rng: random.Random) -> Iterator[Drawn]:
    for lane in (Lane.CREDENTIALS, Lane.USERS, Lane.WRITERS, Lane.RIGHTS, Lane.NAMESPACES):
        at = rng.uniform(*_ELSEWHERE)
        while dealt := decks[lane].deal(at, seconds):
            kind, hold = dealt
            yield kind, at, hold
            at += hold + kind.overhead + rng.uniform(*_ELSEWHERE)


def _dense(decks: Mapping[Lane, _Deck], seconds: float, rng: random.Random) -> Iterator[Drawn]:
    for deck in decks.values():
        kinds = deck.shuffled()
        # First, or the operator would notice it only after the end of the run.
        kinds.sort(key=lambda kind: kind.name != _SILENT)
        spare = max(0.0, seconds - sum(kind.min_hold + _footprint(kind) for kind in kinds))
        at = 0.0
        for kind, gap in zip(kinds, sorted(rng.uniform(0.0, spare) for _ in kinds), strict=True):
            yield kind, at + gap, kind.min_hold
            at += kind.min_hold + _footprint(kind)


def _footprint(kind: Kind) -> float:
    """Return how long it takes, besides being held, until everything is back to normal."""
    return kind.overhead + kind.aftermath
