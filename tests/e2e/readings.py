"""Compares what the readers in pods saw with what was written and what was issued."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Readings:
    """What one reader saw: times in seconds since 1970, by token hash.

    Attributes:
        changes: when each token was first read, in order, including the first one.
        seen_until: when each was last read.
        shortest_left: the shortest remaining lifetime that it saw, in seconds.
        last_left: the last remaining lifetime that it saw, in seconds.
    """

    changes: dict[str, float]
    seen_until: dict[str, float]
    shortest_left: float
    last_left: float


def parse(log: str) -> Readings:
    """Parse a reader's log."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    changes: dict[str, float] = {}
    seen_until: dict[str, float] = {}
    for line in lines:
        changes.setdefault(line["token"], line["at"])
        seen_until[line["token"]] = line["at"]
    # A token was there until the next one appeared.
    order = list(changes)
    for token, following in itertools.pairwise(order):
        seen_until[token] = max(seen_until[token], changes[following])
    return Readings(
        changes=changes,
        seen_until=seen_until,
        shortest_left=min(line["left"] for line in lines),
        last_left=lines[-1]["left"],
    )


def fingerprint(token: str) -> str:
    """Return the hash that a reader prints instead of a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def shortest_left(readings: Iterable[Readings], expiries: Mapping[str, float]) -> float:
    """Return the shortest remaining lifetime of any token that was read, by the endpoint's clock.

    Args:
        readings: of all readers.
        expiries: when each token expires, by its hash.
    """
    return min(
        expiries[token] - until for each in readings for token, until in each.seen_until.items()
    )


def delays(readings: Iterable[Readings], writes: Sequence[float]) -> list[float]:
    """Return the seconds from each write of the Secret until it was read.

    A reader's first reading does not count: it is the start of its container.
    """
    return [
        at - max(write for write in writes if write <= at)
        for each in readings
        for at in list(each.changes.values())[1:]
    ]
