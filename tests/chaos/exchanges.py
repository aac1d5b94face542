"""Which exchanges were needed, and why there were others: pure functions of what was seen.

All times are seconds from the start of the run.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.fairness import Fault, Key
from tests.chaos.kinds import Lane

# A change takes this long to be noticed at most: a silent watch is given up after 70 s.
_NOTICED_WITHIN = 90.0
# A token that was not written yet is lost with the process or the Lease.
_LOST_WITHIN = 30.0
# What is done at the same time may be seen in another order.
_RACE = 2.0
_UNEXPLAINED = "unexplained"
# Until it notices, the operator works for a resource that is gone.
_RECREATIONS = frozenset(
    {
        "people: resource recreated",
        "people: namespace recreated",
        "control plane: CRD reinstalled",
    }
)
_FOR_NOBODY = "for a resource that was gone, which was not noticed yet"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A token that was issued.

    Attributes:
        key: whose target it was written into; None if none.
        users: the resources that have its client id.
    """

    at: float
    key: Key | None
    users: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many exchanges there were, by why."""

    needed: Mapping[str, int]
    beyond: Mapping[str, int]
    unexplained: tuple[Exchange, ...]


def tally(
    exchanges: Iterable[Exchange],
    faults: Sequence[Fault],
    ends: Sequence[float],
    earliest_refresh: float,
) -> Tally:
    """Tell why each exchange was made.

    Args:
        exchanges: those that gave a token.
        faults: what was done.
        ends: when a replica's process ended.
        earliest_refresh: the least age at which a token is due.
    """
    needed: Counter[str] = Counter()
    beyond: Counter[str] = Counter()
    unexplained = []
    latest: dict[Key, float] = {}
    for exchange in sorted(exchanges, key=lambda each: each.at):
        if exchange.key is None:
            why = _why_lost(exchange, faults, ends)
            beyond[why] += 1
        else:
            before = latest.get(exchange.key)
            latest[exchange.key] = exchange.at
            if before is None:
                why = "first"
            elif exchange.at - before >= earliest_refresh:
                why = "due"
            else:
                why = _why_early(exchange, before, faults)
            needed_one = why not in (_UNEXPLAINED, _FOR_NOBODY) and not why.startswith("clock")
            (needed if needed_one else beyond)[why] += 1
        if why == _UNEXPLAINED:
            unexplained.append(exchange)
    return Tally(needed, beyond, tuple(unexplained))


def _why_early(exchange: Exchange, before: float, faults: Sequence[Fault]) -> str:
    """Return which fault made a token worthless before its time; the latest one counts."""
    lately = [
        fault
        for fault in sorted(faults, key=lambda fault: fault.began, reverse=True)
        if fault.began <= exchange.at
        and fault.ended >= before - _RACE
        and fault.ended >= exchange.at - _NOTICED_WITHIN
    ]
    harmful = (fault.kind.name for fault in lately if _touches(fault, exchange.key))
    if why := next(harmful, None):
        return why
    if _recreated_lately(exchange, (exchange.key,), faults):
        return _FOR_NOBODY
    # A clock is only to blame where nothing else is.
    clocks = (fault.kind.name for fault in lately if fault.kind.lane is Lane.CLOCK)
    return next(clocks, _UNEXPLAINED)


def _touches(fault: Fault, key: Key | None) -> bool:
    if fault.kind.name.endswith("CRD reinstalled"):
        return True
    touching = fault.kind.lane in (Lane.CREDENTIALS, Lane.PEOPLE)
    return touching and fault.concerns is not None and key in fault.concerns


def _why_lost(exchange: Exchange, faults: Sequence[Fault], ends: Sequence[float]) -> str:
    """Return what kept a token from being written."""
    until = exchange.at + _LOST_WITHIN
    gone = [
        fault
        for fault in faults
        if fault.began <= until and fault.ended >= exchange.at - _RACE
        if any(_touches(fault, key) for key in exchange.users)
    ]
    if any(exchange.at - 1 <= end <= until for end in ends):
        return "a process ended before it wrote the token"
    if gone:
        return f"not wanted any more: {gone[0].kind.name}"
    return _FOR_NOBODY if _recreated_lately(exchange, exchange.users, faults) else _UNEXPLAINED


def _recreated_lately(
    exchange: Exchange, keys: Collection[Key | None], faults: Sequence[Fault]
) -> bool:
    return any(
        fault.kind.name in _RECREATIONS
        and fault.began <= exchange.at <= fault.ended + _NOTICED_WITHIN
        and any(_touches(fault, key) for key in keys)
        for fault in faults
    )
