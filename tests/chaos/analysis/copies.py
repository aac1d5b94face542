"""Whether the copies of a token were kept alike, and removed with the label."""

from collections.abc import Iterable, Mapping, Sequence

from tests.chaos.analysis.fairness import blocked, longest_gap, merge
from tests.chaos.promises import CONVERGENCE, COPIED, LONGEST_RETRY, REMOVED, SILENT_WATCH
from tests.chaos.records import API, Fault, Interval, Key, Lane, TokenChange, Unlabelling

Changes = Mapping[Key, Sequence[TokenChange]]
"""When the token in each copy of one resource changed."""

_SILENT = "connection: watches silent"
# Things that happen at the same time may be observed in another order.
_RACE = 1.0


def late_copies(copies: Mapping[Key, Changes], faults: Sequence[Fault], end: float) -> list[str]:
    """Return a phrase for each copy that did not get a token soon after the first copy had it.

    Args:
        copies: by resource.
        faults: what was injected.
        end: of the run.
    """
    found = []
    for changes in copies.values():
        first: dict[float, float] = {}
        for change in _in_order(changes):
            if change.issued_at is not None:
                first.setdefault(change.issued_at, change.at)
        for key, own in changes.items():
            disturbed = disturbances(faults, key)
            for issued_at, at in first.items():
                until = _first_with(own, issued_at, end)
                gap = longest_gap(disturbed, at, until)
                if gap > COPIED:
                    found.append(f"{'/'.join(key)}: {until - at:.0f} s after another at {at:.0f} s")
    return found


def late_removals(
    copies: Mapping[Key, Changes], unlabellings: Iterable[Unlabelling], faults: Sequence[Fault]
) -> list[str]:
    """Return a phrase for each copy that was not removed soon after its namespace lost the label.

    Args:
        copies: by resource.
        unlabellings: when namespaces lacked the label.
        faults: what was injected.
    """
    own = {key: changes for each in copies.values() for key, changes in each.items()}
    found = []
    for each in unlabellings:
        gone_at = (
            change.at
            for change in own[each.key]
            if change.issued_at is None and change.at >= each.began - _RACE
        )
        until = min(next(gone_at, each.ended), each.ended)
        others = [fault for fault in faults if fault.kind.lane is not Lane.NAMESPACES]
        if longest_gap(disturbances(others, each.key), each.began, until) > REMOVED:
            name = "/".join(each.key)
            found.append(f"{name}: {until - each.began:.0f} s after {each.began:.0f} s")
    return found


def disturbances(faults: Sequence[Fault], key: Key) -> list[Interval]:
    """Return when faults may have kept a copy from being written or removed: disjoint, in order."""
    found = [(begin, end + LONGEST_RETRY) for begin, end in blocked(faults, key)]
    for fault in faults:
        if fault.kind.name == _SILENT:
            found.append((fault.began, fault.ended + SILENT_WATCH))
        elif fault.kind.lane in API:
            found.append((fault.began, fault.ended + fault.kind.aftermath + LONGEST_RETRY))
        elif fault.kind.lane is Lane.CLOCK:
            # What was to be retried at a time of that clock is found by then.
            found.append((fault.began, fault.ended + CONVERGENCE))
    return merge(found)


def _in_order(changes: Changes) -> list[TokenChange]:
    return sorted((one for each in changes.values() for one in each), key=lambda one: one.at)


def _first_with(own: Sequence[TokenChange], issued_at: float, end: float) -> float:
    """Return when a copy first held a token, or a newer one."""
    moments = (one.at for one in own if one.issued_at is not None and one.issued_at >= issued_at)
    return next(moments, end)
