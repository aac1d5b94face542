"""A run's outcome as lines for the terminal and as JSON."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from tests.chaos.fairness import ExpiredRead, Fault
from tests.chaos.judge import Promise, Report

_MOST_BREACHES = 8


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    head = (
        f"Chaos, seed {report.seed}: {report.seconds:.0f} s with {report.resources} resources, "
        f"tokens of {report.lifetime} s and {report.replicas} replicas"
    )
    least = "none seen" if report.least_life is None else f"{report.least_life:.1f} s"
    reads, tally, beyond = report.reads, report.tally, _beyond(report)
    asked = sum(end.asked for end in report.ends)
    overstated = f"{report.overstated_reads}, by {report.overstatement:.0f} s at most"
    text = [
        "",
        head,
        f"  faults: {len(report.faults)} of {len(_by_kind(report.faults))} kinds",
        *(f"    {count:>4}  {name}" for name, count in _by_kind(report.faults).items()),
        *(f"    left out: {name}" for name in report.left_out),
        f"  least life of a token seen in a target: {least} of {report.lifetime} s",
        "  looks at an expired token:",
        f"    {len(reads.unexcused):>4}  although the faults left {report.margin:.0f} s for it",
        f"    {len(reads.in_short_outages):>4}  in outages shorter than that, with less between",
        f"    {len(reads.excused):>4}  in outages longer than that",
        f"  looks at what people had damaged: {report.damaged_reads}",
        f"  looks at an expires_at that is too late: {overstated}",
        f"  looks came at most {report.latest_look:.1f} s late (beyond 1 s: too busy a machine)",
        f"  exchanges: {report.exchanges}",
        *(f"    {count:>4}  {why}" for why, count in sorted(tally.needed.items())),
        f"  of these beyond the needed ones: {sum(beyond.values())}",
        *(f"    {count:>4}  {why}" for why, count in sorted(beyond.items())),
        f"  converged: {_converged(report)}",
        "  from the end of one leader to the next, less the time when the API server was away:",
        *(_fail_over(name, times) for name, times in report.fail_overs.items()),
        f"  ends of the operator's processes: {len(report.ends)}, {asked} by the harness",
        f"  errors that the operator logged: {sum(report.logged_errors.values())}",
        *(f"    {count:>4}  {message}" for message, count in report.logged_errors.items()),
        "  promises:",
    ]
    for promise in report.promises:
        text += _promise(promise)
    return text


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as objects of JSON."""
    reads, tally = report.reads, report.tally
    return {
        "seed": report.seed,
        "resources": report.resources,
        "replicas": report.replicas,
        "token_lifetime_seconds": report.lifetime,
        "margin_seconds": report.margin,
        "seconds": round(report.seconds, 1),
        "faults": [_fault(fault) for fault in report.faults],
        "faults_by_kind": _by_kind(report.faults),
        "left_out": list(report.left_out),
        "least_life_seconds": _rounded(report.least_life),
        "expired_reads": {
            "unexcused": [_read(read) for read in reads.unexcused],
            "in_short_outages": [_read(read) for read in reads.in_short_outages],
            "excused": len(reads.excused),
        },
        "damaged_reads": report.damaged_reads,
        "overstated_reads": report.overstated_reads,
        "overstatement_seconds": _rounded(report.overstatement),
        "latest_look_seconds": _rounded(report.latest_look),
        "exchanges": {
            "total": report.exchanges,
            "needed": dict(tally.needed),
            "beyond_needed": _beyond(report),
            "unexplained": [
                {"at": round(one.at, 1), "written_into": "/".join(one.key or ("nothing",))}
                for one in tally.unexplained
            ],
        },
        "not_converged": dict(report.not_converged),
        "converged_after_seconds": _rounded(report.converged_after),
        "fail_over_seconds": {
            name: [round(one, 2) for one in times] for name, times in report.fail_overs.items()
        },
        "writes_beside_the_leader": len(report.strays),
        "process_ends": [
            {"replica": end.replica, "code": end.code, "by_the_harness": end.asked}
            for end in report.ends
        ],
        "crashes": list(report.crashes),
        "leaks": list(report.leaks),
        "redirects_followed": report.strayed,
        "logged_errors": dict(report.logged_errors),
        "promises": [
            {"promise": promise.text, "kept": not promise.breaches, "breaches": promise.breaches}
            for promise in report.promises
        ],
        "kept": report.kept,
    }


def _beyond(report: Report) -> dict[str, int]:
    """Return how many exchanges were not needed, by why."""
    tally = report.tally
    of_no_use = report.exchanges - sum(tally.needed.values()) - sum(tally.beyond.values())
    why = {"the endpoint was made to send the token in a reply of no use": of_no_use}
    return {**tally.beyond, **(why if of_no_use else {})}


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


def _converged(report: Report) -> str:
    if report.converged_after is None:
        return f"not {len(report.not_converged)} resources"
    return f"all, {report.converged_after:.1f} s after the last fault"


def _fail_over(name: str, times: Sequence[float]) -> str:
    return f"    {median(times):>6.2f} s median, {max(times):.2f} s most, after: {name}"


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
