"""What the readers in pods saw, beside what was written and what was issued."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Readings:
    """One reader's account; seconds since 1970, and fingerprints of tokens.

    Attributes:
        changes: when each token was first read, in order, the first one too.
        seen_until: when each was last read.
        least_left: the least remaining life ever told, in seconds.
        last_left: that of the last line.
    """

    changes: dict[str, float]
    seen_until: dict[str, float]
    least_left: float
    last_left: float


def parse(log: str) -> Readings:
    """Return what a reader's log says."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    changes: dict[str, float] = {}
    seen_until: dict[str, float] = {}
    for line in lines:
        changes.setdefault(line["token"], line["at"])
        seen_until[line["token"]] = line["at"]
    # A token was there until the next one was.
    order = list(changes)
    for token, following in itertools.pairwise(order):
        seen_until[token] = max(seen_until[token], changes[following])
    return Readings(
        changes=changes,
        seen_until=seen_until,
        least_left=min(line["left"] for line in lines),
        last_left=lines[-1]["left"],
    )


def fingerprint(token: str) -> str:
    """Return what a reader prints instead of a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def least_left(readings: Iterable[Readings], expiries: Mapping[str, float]) -> float:
    """Return the least life that any token had while it was read, by the endpoint's own clock.

    Args:
        readings: of all readers.
        expiries: when each token expires, by its fingerprint.
    """
    return min(
        expiries[token] - until for each in readings for token, until in each.seen_until.items()
    )


def delays(readings: Iterable[Readings], writes: Sequence[float]) -> list[float]:
    """Return the seconds from writes of the Secret to their being read, one for each change seen.

    The first reading of a reader is left out: it is the start of its container.
    """
    return [
        at - max(write for write in writes if write <= at)
        for each in readings
        for at in list(each.changes.values())[1:]
    ]
