"""Who led when, and who wrote while another led: pure functions of what the API server logged.

All times are seconds from the start of the run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Write:
    """A write that the API server accepted.

    Attributes:
        holder: whom a write of the Lease made its holder, "" for nobody; None for another object.
    """

    replica: str
    received: float
    answered: float
    what: str
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Tenure:
    """A time in which one replica certainly held the Lease: from its first to its last write."""

    replica: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Stray:
    """A write while another replica held the Lease."""

    write: Write
    leader: str


def tenures(writes: Iterable[Write]) -> list[Tenure]:
    """Return who held the Lease when, in order."""
    found: list[Tenure] = []
    holder: str | None = None
    for write in sorted(writes, key=lambda write: write.answered):
        if write.holder is None:
            continue
        if write.holder and write.holder == holder:
            found[-1] = Tenure(write.replica, found[-1].began, write.received)
        elif write.holder:
            found.append(Tenure(write.replica, write.answered, write.answered))
        holder = write.holder
    return found


def strays(writes: Iterable[Write], held: Sequence[Tenure]) -> list[Stray]:
    """Return the writes of replicas during another's tenure, those of the Lease left out."""
    return [
        Stray(write, tenure.replica)
        for write in writes
        if write.holder is None
        for tenure in held
        if tenure.replica != write.replica and tenure.began < write.received < tenure.ended
    ]


def fail_over(held: Sequence[Tenure], after: float) -> float | None:
    """Return how long after a moment the next tenure began; None if none did."""
    return next((tenure.began - after for tenure in held if tenure.began > after), None)
