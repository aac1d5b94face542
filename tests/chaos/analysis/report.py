"""The report of a run, as lines for the terminal and as JSON."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from tests.chaos.analysis.verdict import Verdict
from tests.chaos.records import ExpiredRead, Fault
from tests.support.verdicts import Promise

_MOST_BREACHES = 8


def lines(verdict: Verdict) -> list[str]:
    """Return the report as text."""
    run, reads, tally, beyond = verdict.run, verdict.reads, verdict.tally, _beyond(verdict)
    head = (
        f"Chaos, seed {run.seed}: {run.seconds:.0f} s with {run.resources} resources, "
        f"tokens that live {run.lifetime} s and {run.replicas} replicas that watch {run.scope}"
    )
    shortest = "none seen" if run.minimum_lifetime is None else f"{run.minimum_lifetime:.1f} s"
    requested = sum(each.requested for each in run.exits)
    changes = sum(fight.changes for fight in run.fights)
    copies = sum(map(len, run.copies.values()))
    overstated = f"{run.overstated_reads}, by up to {run.overstatement:.0f} s"
    text = [
        "",
        head,
        f"  faults: {len(run.faults)} of {len(_by_kind(run.faults))} kinds",
        *(f"    {count:>4}  {name}" for name, count in _by_kind(run.faults).items()),
        *(f"    left out: {name}" for name in run.left_out),
        f"  shortest remaining lifetime seen in a target: {shortest} of {run.lifetime} s",
        "  reads of an expired token:",
        f"    {len(reads.unexcused):>4}  although the faults left {run.margin:.0f} s to refresh it",
        f"    {len(reads.in_short_outages):>4}  during outages shorter than that, close together",
        f"    {len(reads.excused):>4}  during outages longer than that",
        f"    {len(reads.restored):>4}  after another writer had restored one that had expired",
        f"  reads of what users had overwritten: {run.damaged_reads}",
        f"  reads of an expires_at that is too late: {overstated}",
        f"  reads started up to {run.max_read_delay:.1f} s late (over 1 s: machine too busy)",
        f"  exchanges: {run.issued}",
        *(f"    {count:>4}  {cause}" for cause, count in sorted(tally.needed.items())),
        f"  of these more than needed: {sum(beyond.values())}",
        *(f"    {count:>4}  {cause}" for cause, count in sorted(beyond.items())),
        f"  fights with other writers: {len(run.fights)}, {changes} changes by them",
        f"  things of others observed: {len(run.belongings)}; targets contested: {len(run.claims)}",
        f"  copies of cluster-scoped tokens: {copies}; labels removed: {len(run.unlabellings)}",
        f"  converged: {_converged(verdict)}",
        "  failover, not counting the time when the API server was unreachable:",
        *(_failover(name, times) for name, times in verdict.failovers.items()),
        f"  exits of the operator's processes: {len(run.exits)}, {requested} by the harness",
        f"  errors that the operator logged: {sum(run.logged_errors.values())}",
        *(f"    {count:>4}  {message}" for message, count in run.logged_errors.items()),
        "  promises:",
    ]
    for promise in verdict.promises:
        text += _promise(promise)
    return text


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Return the report as JSON values."""
    run, reads, tally = verdict.run, verdict.reads, verdict.tally
    return {
        "seed": run.seed,
        "resources": run.resources,
        "replicas": run.replicas,
        "token_lifetime_seconds": run.lifetime,
        "margin_seconds": run.margin,
        "seconds": round(run.seconds, 1),
        "scope": run.scope,
        "faults": [_fault(fault) for fault in run.faults],
        "faults_by_kind": _by_kind(run.faults),
        "left_out": list(run.left_out),
        "minimum_lifetime_seconds": _rounded(run.minimum_lifetime),
        "expired_reads": {
            "unexcused": [_read(read) for read in reads.unexcused],
            "in_short_outages": [_read(read) for read in reads.in_short_outages],
            "excused": len(reads.excused),
            "restored": len(reads.restored),
        },
        "damaged_reads": run.damaged_reads,
        "overstated_reads": run.overstated_reads,
        "overstatement_seconds": _rounded(run.overstatement),
        "max_read_delay_seconds": _rounded(run.max_read_delay),
        "exchanges": {
            "total": run.issued,
            "needed": dict(tally.needed),
            "beyond_needed": _beyond(verdict),
            "unexplained": [
                {"at": round(one.at, 1), "written_to": "/".join(one.key or ("nothing",))}
                for one in tally.unexplained
            ],
        },
        "fights": [
            {
                "target": "/".join(fight.target),
                "began": round(fight.began, 1),
                "ended": round(fight.ended, 1),
                "changes": fight.changes,
            }
            for fight in run.fights
        ],
        "belongings": len(run.belongings),
        "claims": len(run.claims),
        "not_converged": dict(run.not_converged),
        "converged_after_seconds": _rounded(run.converged_after),
        "failover_seconds": {
            name: [round(one, 2) for one in times] for name, times in verdict.failovers.items()
        },
        "non_leader_writes": len(verdict.non_leader_writes),
        "process_exits": [
            {"replica": each.replica, "code": each.code, "by_the_harness": each.requested}
            for each in run.exits
        ],
        "crashes": list(verdict.crashes),
        "leaks": list(run.leaks),
        "redirects_followed": run.redirects_followed,
        "logged_errors": dict(run.logged_errors),
        "promises": [
            {"promise": promise.text, "kept": not promise.breaches, "breaches": promise.breaches}
            for promise in verdict.promises
        ],
        "kept": verdict.kept,
    }


def _beyond(verdict: Verdict) -> dict[str, int]:
    """Return how many exchanges were not needed, by cause."""
    tally = verdict.tally
    accounted = sum(tally.needed.values()) + sum(tally.beyond.values())
    useless = verdict.run.issued - accounted
    cause = {"the endpoint was made to send the token in an unusable reply": useless}
    return {**tally.beyond, **(cause if useless else {})}


def _by_kind(faults: Sequence[Fault]) -> dict[str, int]:
    return dict(sorted(Counter(fault.kind.name for fault in faults).items()))


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "kind": fault.kind.name,
        "began": round(fault.began, 2),
        "ended": round(fault.ended, 2),
        "note": fault.note,
    }


def _read(read: ExpiredRead) -> dict[str, Any]:
    return {
        "resource": "/".join(read.key),
        "at": round(read.at, 1),
        "expired_at": round(read.expired_at, 1),
    }


def _converged(verdict: Verdict) -> str:
    if verdict.run.converged_after is None:
        return f"all but {len(verdict.run.not_converged)} resources"
    return f"all resources, {verdict.run.converged_after:.1f} s after the last fault"


def _failover(name: str, times: Sequence[float]) -> str:
    return f"    {median(times):>6.2f} s median, {max(times):.2f} s maximum, after {name}"


def _promise(promise: Promise) -> list[str]:
    if not promise.breaches:
        return [f"    kept: {promise.text}"]
    more = len(promise.breaches) - _MOST_BREACHES
    return [
        f"    BROKEN: {promise.text}",
        *(f"      {breach}" for breach in promise.breaches[:_MOST_BREACHES]),
        *([f"      and {more} more"] if more > 0 else []),
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
