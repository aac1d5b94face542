"""Whether the operator respected what others wrote, and whether trouble stayed in its place."""

import math
from collections.abc import Iterable, Sequence

from tests.chaos.analysis.leaders import Tenure
from tests.chaos.promises import FIRST_REPAIR_DELAY, REPAIRS_IN_A_ROW
from tests.chaos.records import Belonging, Claim, ExpiredRead, Fault, Fight, Key, Lane, Write

# The token with its labels, and the owner reference, whose refusal must not hold up the token.
_WRITES_PER_REPAIR = 2
# A scheduled refresh, and one whose answer was lost so that it was repeated.
_BESIDES = 2
_OWN_LANES = (Lane.CREDENTIALS, Lane.USERS)


def fast_fights(
    fights: Iterable[Fight],
    writes: Sequence[Write],
    held: Sequence[Tenure],
    faults: Sequence[Fault],
) -> list[str]:
    """Return a phrase for each fight in which the target was written more often than is allowed.

    Each leader repairs a few times at once and then with a delay that doubles; it knows nothing of
    what its predecessor did. Whatever else changes the target meanwhile causes more writes.
    """
    found = []
    for fight in fights:
        count = sum(
            write.secret == fight.target and fight.began <= write.received <= fight.ended
            for write in writes
        )
        leaders = sum(
            tenure.began <= fight.ended and tenure.ended >= fight.began for tenure in held
        )
        others = sum(
            fault.kind.lane in _OWN_LANES
            and fight.target in (fault.affects or ())
            and fault.began <= fight.ended
            and fault.ended >= fight.began
            for fault in faults
        )
        repairs = most_repairs(fight.ended - fight.began) * max(leaders, 1) + others + _BESIDES
        allowed = repairs * _WRITES_PER_REPAIR
        if count > allowed:
            seconds = fight.ended - fight.began
            found.append(
                f"{'/'.join(fight.target)}: {count} writes in {seconds:.0f} s at "
                f"{fight.began:.0f} s, {allowed} allowed"
            )
    return found


def most_repairs(seconds: float) -> int:
    """Return how often one process may repair a target in so many seconds."""
    delays = math.log2(max(seconds, 0.0) / FIRST_REPAIR_DELAY + 1)
    return REPAIRS_IN_A_ROW + int(delays)


def losses(belongings: Iterable[Belonging]) -> list[str]:
    """Return a phrase for each part of someone else's that was changed, removed or added to."""
    found = []
    for each in belongings:
        if each.after is None:
            found.append(f"{each.what} was removed")
            continue
        for name in sorted(each.before.keys() | each.after.keys()):
            if name not in each.after:
                found.append(f"{each.what}: {name} was removed")
            elif name not in each.before:
                found.append(f"{each.what}: {name} was added")
            elif each.before[name] != each.after[name]:
                found.append(f"{each.what}: {name} was changed")
    return found


def strangers(writes: Iterable[Write], targets: frozenset[Key]) -> list[str]:
    """Return a phrase for each write of a Secret that is nobody's target."""
    return [
        f"{write.what} at {write.received:.1f} s"
        for write in writes
        if write.secret is not None and write.secret not in targets
    ]


def disputes(claims: Iterable[Claim]) -> list[str]:
    """Return a phrase for each target that did not have exactly one owner."""
    return [
        f"{'/'.join(claim.target)}: owned by {claim.owner or 'none of them'}, "
        f"ready: {', '.join(sorted(claim.ready)) or 'none'}"
        for claim in claims
        if claim.ready != {claim.owner}
    ]


def spills(
    reads: Iterable[ExpiredRead], faults: Sequence[Fault], margin: float
) -> list[tuple[ExpiredRead, Fault]]:
    """Return the reads of expired tokens while only another namespace had a fault of its rights."""
    local = [fault for fault in faults if fault.kind.lane is Lane.RIGHTS]
    found = []
    for read in reads:
        near = [
            fault
            for fault in local
            if read.key not in (fault.affects or ())
            and fault.began < read.at
            and fault.ended > read.expired_at - margin
        ]
        found += [(read, fault) for fault in near[:1]]
    return found
