"""The verdict on a run: which promises were kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.analysis.copies import late_copies, late_removals
from tests.chaos.analysis.exchanges import Tally, tally
from tests.chaos.analysis.fairness import JudgedReads, judge_reads
from tests.chaos.analysis.leaders import NonLeaderWrite, failovers, non_leader_writes, tenures
from tests.chaos.analysis.others import disputes, fast_fights, losses, spills, strangers
from tests.chaos.promises import (
    API_SERVER_WAIT,
    EXIT_LEASE_LOST,
    EXIT_NOT_REACHABLE,
    EXIT_STOPPED,
)
from tests.chaos.records import API, Fault, ProcessExit, Recording
from tests.support.verdicts import Promise

# The schedule's jitter is a tenth of the lifetime; 2 s are for rounding.
_JITTER = 1 / 10
_ROUNDING = 2.0
# An outage counts for this long after its end: the wait, and a second attempt.
_API_SERVER_DOWN = 2 * API_SERVER_WAIT


@dataclass(frozen=True, slots=True)
class Verdict:
    """A run and what follows from its records.

    Attributes:
        run: the records.
        reads: the reads of expired tokens, by who is to blame.
        tally: the exchanges by cause.
        failovers: how long each failover took, by fault; in seconds.
        non_leader_writes: the writes of replicas that did not lead.
        crashes: a phrase for each exit that nothing explains.
        fast_fights: a phrase for each fight with another writer that was not damped.
        losses: a phrase for each thing of someone else's that was changed.
        disputes: a phrase for each target without exactly one owner.
        late_copies: a phrase for each copy that was older than the others for too long.
        late_removals: a phrase for each copy that outlived the label of its namespace.
        spills: a phrase for each resource that a fault of another namespace cost its token.
    """

    run: Recording
    reads: JudgedReads
    tally: Tally
    failovers: Mapping[str, Sequence[float]]
    non_leader_writes: Sequence[NonLeaderWrite]
    crashes: Sequence[str]
    fast_fights: Sequence[str]
    losses: Sequence[str]
    disputes: Sequence[str]
    late_copies: Sequence[str]
    late_removals: Sequence[str]
    spills: Sequence[str]

    @property
    def promises(self) -> list[Promise]:
        """Return what was promised and how it was broken."""
        late = Counter("/".join(read.key) for read in self.reads.unexcused)
        return [
            Promise(
                "no target held an expired token where the faults left enough time for an exchange",
                [f"{name}: {count} reads" for name, count in sorted(late.items())],
            ),
            Promise(
                "every resource recovered within 60 s of the last fault",
                [f"{name}: {why}" for name, why in sorted(self.run.not_converged.items())],
            ),
            Promise(
                "only the leader wrote",
                [
                    f"{each.write.what} by {each.write.replica} at {each.write.received:.1f} s, "
                    f"while {each.leader} led"
                    for each in self.non_leader_writes
                ],
            ),
            Promise("the operator did not crash", self.crashes),
            Promise("repairs in fights with other writers were damped", self.fast_fights),
            Promise("nothing of others was changed or removed", self.losses),
            Promise("each contested target had exactly one owner", self.disputes),
            Promise("no copy of a token was older than the others for long", self.late_copies),
            Promise("copies were removed with the label", self.late_removals),
            Promise(
                "each refresh of a cluster-scoped token took one exchange",
                [
                    f"{one.key[1]} at {one.at:.0f} s"
                    for one in self.tally.unexplained
                    if one.key in self.run.copies and one.key
                ],
            ),
            Promise("faults of one namespace did not cost others their tokens", self.spills),
            Promise(
                "no token and no client secret in a log, an Event, a status or a metric",
                [f"in {name}" for name in self.run.leaks],
            ),
            Promise(
                "no redirect to another host was followed",
                [f"{count} were"] if (count := self.run.redirects_followed) else [],
            ),
        ]

    @property
    def kept(self) -> bool:
        """Return whether all promises were kept."""
        return not any(promise.breaches for promise in self.promises)


def judge(run: Recording) -> Verdict:
    """Judge a run by its records."""
    held = tenures(run.writes)
    reads = judge_reads(run.expired_reads, run.faults, run.margin)
    spilled = spills(reads.unexcused, run.faults, run.margin)
    return Verdict(
        run=run,
        reads=reads,
        tally=tally(
            run.exchanges,
            run.faults,
            [each.at - run.start for each in run.exits],
            run.lifetime - run.margin - run.lifetime * _JITTER - _ROUNDING,
            run.requests,
        ),
        failovers=failovers(run.faults, held),
        non_leader_writes=non_leader_writes(run.writes, held),
        crashes=crashes(run.exits, run.faults, run.start),
        fast_fights=fast_fights(run.fights, run.writes, held, run.faults),
        losses=[*losses(run.belongings), *strangers(run.writes, run.targets)],
        disputes=disputes(run.claims),
        late_copies=late_copies(run.copies, run.faults, run.seconds),
        late_removals=late_removals(run.copies, run.unlabellings, run.faults),
        spills=[
            f"{'/'.join(read.key)} at {read.at:.0f} s, during {fault.kind.name} ({fault.note})"
            for read, fault in spilled
        ],
    )


def crashes(exits: Sequence[ProcessExit], faults: Sequence[Fault], start: float) -> list[str]:
    """Return a phrase for each exit that neither the harness nor the documentation explains."""
    found = []
    for each in exits:
        at = each.at - start
        explained = each.code == EXIT_LEASE_LOST or (
            each.code == EXIT_NOT_REACHABLE and _api_server_down(faults, at)
        )
        if each.requested:
            explained = explained or each.code == EXIT_STOPPED or each.code < 0
        if each.overdue:
            found.append(f"{each.replica} ignored SIGTERM until {at:.0f} s")
        elif not explained:
            found.append(f"{each.replica} exited with {each.code} at {at:.0f} s")
    return found


def _api_server_down(faults: Sequence[Fault], at: float) -> bool:
    return any(
        fault.kind.lane in API and fault.began < at < fault.ended + _API_SERVER_DOWN
        for fault in faults
    )
