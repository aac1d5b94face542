"""Who led when, and who wrote while another replica led."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.analysis.fairness import blocked, overlap
from tests.chaos.records import API, Fault, Write

_LEADER_EXITS = ("operator: leader killed", "operator: leader terminated")
_NO_KEY = ("", "")  # what affects all resources affects this one too


@dataclass(frozen=True, slots=True)
class Tenure:
    """A time in which one replica certainly held the Lease: from its first to its last write."""

    replica: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class NonLeaderWrite:
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


def non_leader_writes(writes: Iterable[Write], held: Sequence[Tenure]) -> list[NonLeaderWrite]:
    """Return the writes of replicas during another's tenure, except those of the Lease."""
    return [
        NonLeaderWrite(write, tenure.replica)
        for write in writes
        if write.holder is None
        for tenure in held
        if tenure.replica != write.replica and tenure.began < write.received < tenure.ended
    ]


def failover(held: Sequence[Tenure], after: float) -> float | None:
    """Return how long after a moment the next tenure began; None if none did."""
    return next((tenure.began - after for tenure in held if tenure.began > after), None)


def failovers(faults: Sequence[Fault], held: Sequence[Tenure]) -> dict[str, list[float]]:
    """Return how long each failover took, by the fault that caused it.

    The time in which the API server was unreachable does not count.
    """
    found: dict[str, list[float]] = {}
    outages = blocked((fault for fault in faults if fault.kind.lane in API), _NO_KEY)
    for fault in faults:
        if fault.kind.name in _LEADER_EXITS:
            took = failover(held, fault.began)
            if took is not None:
                unreachable = overlap(outages, fault.began, fault.began + took)
                found.setdefault(fault.kind.name, []).append(took - unreachable)
    return found
