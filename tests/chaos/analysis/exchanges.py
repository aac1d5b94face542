"""Which exchanges were needed, and what caused the others."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.records import Exchange, Fault, Key, Lane

# The longest time until a change is noticed: a silent watch is given up after 70 s.
_NOTICED_WITHIN = 90.0
# A token that was not written yet is lost with the process or the Lease.
_LOST_WITHIN = 30.0
# Things that happen at the same time may be observed in another order.
_RACE = 2.0
_UNEXPLAINED = "unexplained"
# Until it notices, the operator works for a resource that is gone.
_RECREATIONS = frozenset(
    {
        "users: resource recreated",
        "users: namespace recreated",
        "control plane: CRD reinstalled",
    }
)
_FOR_NOBODY = "for a resource whose deletion had not been noticed yet"


@dataclass(frozen=True, slots=True)
class Tally:
    """The exchanges counted by cause.

    Attributes:
        needed: those that the promises require.
        beyond: all others.
        unexplained: those of the others that have no cause.
    """

    needed: Mapping[str, int]
    beyond: Mapping[str, int]
    unexplained: tuple[Exchange, ...]


def tally(
    exchanges: Iterable[Exchange],
    faults: Sequence[Fault],
    exits: Sequence[float],
    earliest_refresh: float,
    requests: Mapping[Key, Sequence[float]],
) -> Tally:
    """Count the exchanges by cause.

    Args:
        exchanges: those that returned a token.
        faults: what was injected.
        exits: when a replica's process ended.
        earliest_refresh: the youngest age at which a token can be due.
        requests: when a refresh of a resource was requested; one exchange serves all before it.
    """
    needed: Counter[str] = Counter()
    beyond: Counter[str] = Counter()
    unexplained = []
    latest: dict[Key, float] = {}
    for exchange in sorted(exchanges, key=lambda each: each.at):
        if exchange.key is None:
            cause = _why_lost(exchange, faults, exits)
            beyond[cause] += 1
        else:
            before = latest.get(exchange.key)
            latest[exchange.key] = exchange.at
            served = requests.get(exchange.key, ())
            is_requested = any((before or 0.0) < at <= exchange.at for at in served)
            if before is None:
                cause = "first"
            elif exchange.at - before >= earliest_refresh:
                cause = "due"
            elif is_requested:
                cause = "requested"
            else:
                cause = _why_early(exchange, before, faults)
            is_needed = cause not in (_UNEXPLAINED, _FOR_NOBODY) and not cause.startswith("clock")
            (needed if is_needed else beyond)[cause] += 1
        if cause == _UNEXPLAINED:
            unexplained.append(exchange)
    return Tally(needed, beyond, tuple(unexplained))


def _why_early(exchange: Exchange, before: float, faults: Sequence[Fault]) -> str:
    """Return which fault made a token useless before it was due; the latest fault counts."""
    recent = [
        fault
        for fault in sorted(faults, key=lambda fault: fault.began, reverse=True)
        if fault.began <= exchange.at
        and fault.ended >= before - _RACE
        and fault.ended >= exchange.at - _NOTICED_WITHIN
    ]
    harmful = (fault.kind.name for fault in recent if _touches(fault, exchange.key))
    if cause := next(harmful, None):
        return cause
    if _recently_recreated(exchange, (exchange.key,), faults):
        return _FOR_NOBODY
    # A clock is only to blame where nothing else is.
    clocks = (fault.kind.name for fault in recent if fault.kind.lane is Lane.CLOCK)
    return next(clocks, _UNEXPLAINED)


def _touches(fault: Fault, key: Key | None) -> bool:
    if fault.kind.name.endswith("CRD reinstalled"):
        return True
    touching = fault.kind.lane in (Lane.CREDENTIALS, Lane.USERS, Lane.WRITERS)
    return touching and fault.affects is not None and key in fault.affects


def _why_lost(exchange: Exchange, faults: Sequence[Fault], exits: Sequence[float]) -> str:
    """Return why a token was never written."""
    until = exchange.at + _LOST_WITHIN
    gone = [
        fault
        for fault in faults
        if fault.began <= until and fault.ended >= exchange.at - _RACE
        if any(_touches(fault, key) for key in exchange.users)
    ]
    if any(exchange.at - 1 <= end <= until for end in exits):
        return "a process exited before it wrote the token"
    if gone:
        return f"no longer wanted: {gone[0].kind.name}"
    recreated = _recently_recreated(exchange, exchange.users, faults)
    return _FOR_NOBODY if recreated else _UNEXPLAINED


def _recently_recreated(
    exchange: Exchange, keys: Collection[Key | None], faults: Sequence[Fault]
) -> bool:
    return any(
        fault.kind.name in _RECREATIONS
        and fault.began <= exchange.at <= fault.ended + _NOTICED_WITHIN
        and any(_touches(fault, key) for key in keys)
        for fault in faults
    )
