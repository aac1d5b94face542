"""What a run showed, and which promises were kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pinecone_token_operator.runtime.manager import LEASE_LOST, NOT_REACHABLE, STOPPED
from tests.chaos.exchanges import Tally
from tests.chaos.fairness import ExpiredRead, Fault, blocked, chance
from tests.chaos.kinds import API
from tests.chaos.leaders import Stray
from tests.chaos.replicas import End

# How long the operator waits for the API server at its start, and as much again.
_API_AWAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise, and in which way it was broken: one phrase for each breach."""

    text: str
    breaches: Sequence[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """Looks at expired tokens, by whose doing they were.

    Attributes:
        unexcused: the operator's: the faults left a margin, and it was not used.
        in_short_outages: all outages before them were shorter than the margin.
        excused: the faults'.
    """

    unexcused: Sequence[ExpiredRead]
    in_short_outages: Sequence[ExpiredRead]
    excused: Sequence[ExpiredRead]


def judge_reads(reads: Sequence[ExpiredRead], faults: Sequence[Fault], margin: float) -> Judged:
    """Tell the operator's expired tokens from the faults'."""
    unexcused, short, excused = [], [], []
    outages = {key: blocked(faults, key) for key in {read.key for read in reads}}
    for read in reads:
        intervals = outages[read.key]
        near = [one for one in intervals if one[1] > read.expired_at - margin and one[0] < read.at]
        if chance(read, intervals, margin) >= margin:
            unexcused.append(read)
        elif all(end - begin < margin for begin, end in near):
            short.append(read)
        else:
            excused.append(read)
    return Judged(unexcused, short, excused)


def crashes(ends: Sequence[End], faults: Sequence[Fault], start: float) -> list[str]:
    """Return the ends of processes that neither the harness nor the documentation explains."""
    found = []
    for end in ends:
        at = end.at - start
        explained = end.code == LEASE_LOST or (end.code == NOT_REACHABLE and _api_away(faults, at))
        if end.asked:
            explained = explained or end.code == STOPPED or end.code < 0
        if end.late:
            found.append(f"{end.replica} went on after SIGTERM until {at:.0f} s")
        elif not explained:
            found.append(f"{end.replica} ended with {end.code} at {at:.0f} s")
    return found


def _api_away(faults: Sequence[Fault], at: float) -> bool:
    return any(
        fault.kind.lane in API and fault.began < at < fault.ended + _API_AWAY_SECONDS
        for fault in faults
    )


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a run; times are in seconds."""

    seed: int
    resources: int
    replicas: int
    lifetime: int
    margin: float
    seconds: float
    left_out: Sequence[str]
    faults: Sequence[Fault]
    least_life: float | None
    reads: Judged
    damaged_reads: int
    overstated_reads: int
    overstatement: float
    latest_look: float
    exchanges: int
    tally: Tally
    not_converged: Mapping[str, str]
    converged_after: float | None
    fail_overs: Mapping[str, Sequence[float]]
    strays: Sequence[Stray]
    ends: Sequence[End]
    crashes: Sequence[str]
    leaks: Sequence[str]
    strayed: int
    logged_errors: Mapping[str, int]

    @property
    def promises(self) -> list[Promise]:
        """Return what was promised, and how it was broken."""
        late = Counter("/".join(read.key) for read in self.reads.unexcused)
        return [
            Promise(
                "no target held an expired token where the faults left a margin for an exchange",
                [f"{name}: {count} reads" for name, count in sorted(late.items())],
            ),
            Promise(
                "every resource was right within 60 s of the last fault",
                [f"{name}: {why}" for name, why in sorted(self.not_converged.items())],
            ),
            Promise(
                "no two leaders wrote at a time",
                [
                    f"{stray.write.what} by {stray.write.replica} at {stray.write.received:.1f} s, "
                    f"while {stray.leader} led"
                    for stray in self.strays
                ],
            ),
            Promise("the operator did not crash", self.crashes),
            Promise(
                "no token and no client secret in a log, an event, a status or a metric",
                [f"in {name}" for name in self.leaks],
            ),
            Promise(
                "no redirect to another host was followed",
                [f"{self.strayed} were"] if self.strayed else [],
            ),
        ]

    @property
    def kept(self) -> bool:
        """Return whether all promises were."""
        return not any(promise.breaches for promise in self.promises)
