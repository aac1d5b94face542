"""Whether the faults or the operator are to blame for an expired token."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.promises import FAILOVER, START
from tests.chaos.records import API, ExpiredRead, Fault, Interval, Key, Lane


@dataclass(frozen=True, slots=True)
class JudgedReads:
    """Reads of expired tokens, by who is to blame.

    Attributes:
        unexcused: the operator: the faults left it a whole margin to refresh the token.
        in_short_outages: nobody: each outage was shorter than the margin, but so were the gaps.
        excused: the faults: an outage was longer than the margin.
        restored: a fault put the token there when it had expired already.
    """

    unexcused: Sequence[ExpiredRead]
    in_short_outages: Sequence[ExpiredRead]
    excused: Sequence[ExpiredRead]
    restored: Sequence[ExpiredRead]


def judge_reads(
    reads: Sequence[ExpiredRead], faults: Sequence[Fault], margin: float
) -> JudgedReads:
    """Sort the reads by who is to blame."""
    unexcused, short, excused, restored = [], [], [], []
    outages = {key: blocked(faults, key) for key in {read.key for read in reads}}
    for read in reads:
        intervals = outages[read.key]
        since = rewound(faults, read)
        near = [one for one in intervals if one[1] > read.expired_at - margin and one[0] < read.at]
        if chance(read, intervals, margin, since) >= margin:
            unexcused.append(read)
        elif since >= read.expired_at:
            restored.append(read)
        elif all(end - begin < margin for begin, end in near):
            short.append(read)
        else:
            excused.append(read)
    return JudgedReads(unexcused, short, excused, restored)


def blocked(faults: Iterable[Fault], key: Key) -> list[Interval]:
    """Return when the faults made an exchange impossible for a resource: disjoint and in order."""
    found = [
        fault
        for fault in faults
        if fault.kind.blocks and (fault.affects is None or key in fault.affects)
    ]
    outages = merge(_blocks(fault) for fault in found if fault.kind.lane in API)
    late = (_late_failover(fault, outages) for fault in found if fault.kind.lane is Lane.REPLICAS)
    return merge([*map(_blocks, found), *filter(None, late)])


def rewound(faults: Iterable[Fault], read: ExpiredRead) -> float:
    """Return when a fault last put an older token into the target; minus infinity if none did."""
    moments = (
        fault.began
        for fault in faults
        if fault.kind.rewinds and read.key in (fault.affects or ()) and fault.began <= read.at
    )
    return max(moments, default=float("-inf"))


def longest_gap(intervals: Sequence[Interval], begin: float, end: float) -> float:
    """Return the longest time between begin and end that is in none of the intervals."""
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
    """Return how much of the time between begin and end is in one of the intervals."""
    return sum(max(0.0, min(last, end) - max(first, begin)) for first, last in intervals)


def chance(
    read: ExpiredRead,
    intervals: Sequence[Interval],
    margin: float,
    since: float = float("-inf"),
) -> float:
    """Return the longest uninterrupted time in which an exchange could have prevented the read.

    It counts from when the token was due at the latest, one margin before its expiry.

    Args:
        read: the read.
        intervals: when the faults made an exchange impossible.
        margin: how long before its expiry a token is refreshed.
        since: when the token came into the target, if it is an older one.
    """
    return longest_gap(intervals, max(read.expired_at - margin, since), read.at)


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same times as disjoint intervals in order."""
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def _blocks(fault: Fault) -> Interval:
    kind = fault.kind
    return fault.began, min(fault.ended + kind.aftermath, fault.began + kind.max_block)


def _late_failover(fault: Fault, outages: Sequence[Interval]) -> Interval | None:
    """Return until when nobody leads after a process exited while the API server was unreachable.

    It could not release the Lease. A new process counts the Lease's duration from when it first
    sees it, which is when the API server is back.
    """
    for begin, end in outages:
        if begin <= fault.ended + START and fault.ended <= end:
            if fault.kind.no_standby:
                return fault.ended, end + FAILOVER + START
            if fault.kind.aftermath:
                return fault.ended, fault.ended + FAILOVER
    return None
