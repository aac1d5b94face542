"""Whether an expired token was the faults' doing or the operator's: pure functions of times.

All times are seconds from the start of the run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.kinds import API, FAIL_OVER, START, Kind, Lane

Key = tuple[str, str]
"""A resource's (namespace, name)."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as it was made.

    Attributes:
        began: just before anything was done. ended: once all was undone.
        concerns: the resources whose credentials, target or self it touched; None means all.
        note: what was chosen, for the report.
    """

    kind: Kind
    began: float
    ended: float
    concerns: frozenset[Key] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ExpiredRead:
    """A look at a target that held an expired token."""

    key: Key
    at: float
    expired_at: float


def blocked(faults: Iterable[Fault], key: Key) -> list[Interval]:
    """Return when the faults made an exchange impossible for a resource: apart, in order."""
    found = [
        fault
        for fault in faults
        if fault.kind.blocks and (fault.concerns is None or key in fault.concerns)
    ]
    away = _merge(_blocks(fault) for fault in found if fault.kind.lane in API)
    late = (_late_fail_over(fault, away) for fault in found if fault.kind.lane is Lane.OPERATOR)
    return _merge([*map(_blocks, found), *filter(None, late)])


def _merge(intervals: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def longest_gap(intervals: Sequence[Interval], begin: float, end: float) -> float:
    """Return the longest time from begin to end that is in none of the intervals."""
    longest, free_from = 0.0, begin
    for first, last in intervals:
        if last <= begin:
            continue
        if first >= end:
            break
        longest = max(longest, first - free_from)
        free_from = max(free_from, last)
    return max(longest, end - free_from, 0.0)


def overlap(intervals: Iterable[Interval], begin: float, end: float) -> float:
    """Return how much of the time from begin to end is in one of the intervals."""
    return sum(max(0.0, min(last, end) - max(first, begin)) for first, last in intervals)


def chance(read: ExpiredRead, intervals: Sequence[Interval], margin: float) -> float:
    """Return the longest time in which an exchange could have prevented the read.

    It counts from when the token was due at the latest, one margin before its expiry.
    """
    return longest_gap(intervals, read.expired_at - margin, read.at)


def _blocks(fault: Fault) -> Interval:
    kind = fault.kind
    return fault.began, min(fault.ended + kind.aftermath, fault.began + kind.at_most)


def _late_fail_over(fault: Fault, away: Sequence[Interval]) -> Interval | None:
    """Return until when nobody leads after a process ended while the API server was away.

    It could not give the Lease back. And who starts anew counts the Lease's time from when it first
    sees it, which is when the API server is back.
    """
    for begin, end in away:
        if begin <= fault.ended + START and fault.ended <= end:
            if fault.kind.nobody_left:
                return fault.ended, end + FAIL_OVER + START
            if fault.kind.aftermath:
                return fault.ended, fault.ended + FAIL_OVER
    return None
