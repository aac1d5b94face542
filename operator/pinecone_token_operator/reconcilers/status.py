"""The status of a resource, as users read it. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from pinecone_token_operator.api.conditions import (
    READY,
    REFRESHED,
    STALLED,
    TARGETS_READY,
    Problem,
    Reason,
)
from pinecone_token_operator.policies.input import TargetInput, Wanted
from pinecone_token_operator.policies.readiness import find_unready
from pinecone_token_operator.policies.schedule import margin
from pinecone_token_operator.policies.target_chain import TargetPlan
from pinecone_token_operator.reconcilers.outcome import Outcome
from pinecone_token_operator.targets.stored_token import TokenTimes, format_time
from pinecone_token_operator.telemetry.metrics import TokenSample

Status = Mapping[str, Any]

_OURS: Final = (READY, REFRESHED, TARGETS_READY, STALLED)
# What does not heal by waiting: somebody has to change something.
_STALLING: Final = (
    Reason.REJECTED,
    Reason.CREDENTIALS_INVALID,
    Reason.TARGET_NOT_OWNED,
    Reason.TARGET_CONFLICT,
    Reason.RESOURCE_INVALID,
)


@dataclass(frozen=True, slots=True)
class Report:
    """What is reported of a resource.

    Attributes:
        sample: what is measured.
        status: returns the whole status, given the one that the API server has.
    """

    sample: TokenSample
    status: Callable[[Status], dict[str, Any]]


def make_report(outcome: Outcome, wanted: Wanted, now: datetime) -> Report:
    """Return what is reported of a resource with one target."""
    ((target, plan),) = outcome.targets
    times = target.provided
    not_refreshed = find_not_refreshed(outcome, target, plan)
    unready = find_unready(target, not_refreshed, now)
    sample = TokenSample(
        ready=unready is None,
        reason=str(_reason_of(target, not_refreshed)),
        refreshed=not_refreshed is None,
        expires_at=times.expires_at if times else None,
        # While suspended nothing is scheduled: alerts then ignore the expiry.
        refresh_at=times.refresh_at if times and not wanted.suspend else None,
        refreshed_at=times.refreshed_at if times else None,
    )
    facts = outcome, wanted, unready, not_refreshed
    return Report(sample, partial(_compute_status, *facts, now=now))


def _compute_status(
    outcome: Outcome,
    wanted: Wanted,
    unready: Problem | None,
    not_refreshed: Problem | None,
    previous: Status,
    now: datetime,
) -> dict[str, Any]:
    """Return the whole status of a resource with one target.

    A field that does not apply is left out; conditions of other controllers stay.
    """
    ((target, plan),) = outcome.targets
    times = target.provided
    known = outcome.known
    status: dict[str, Any] = {
        "observedGeneration": wanted.generation,
        "failedAttempts": known.attempts.failures + target.attempts.failures,
    }
    expires_at = refreshed_at = ""
    if times is not None:
        expires_at, refreshed_at = format_time(times.expires_at), format_time(times.refreshed_at)
        status["secretName"] = target.spec.key[1]
        status["expiresAt"] = expires_at
        status["lastRefreshAt"] = refreshed_at
    next_attempt = _next_attempt(outcome, target, plan, times)
    if next_attempt is not None:
        status["refreshAt"] = format_time(next_attempt)
    if known.handled_request:
        status["lastHandledRefreshRequest"] = known.handled_request
    valid = _valid(target, wanted, times, expires_at) if times else ""
    conditions = [make_condition(READY, unready, Reason.TOKEN_VALID, valid)]
    if not_refreshed or times:
        incomplete = target.repairs.problem
        good = _reason_of(target, None)
        message = f"the token was issued at {refreshed_at}" if times else ""
        message += f"; {incomplete.message}" if incomplete else ""
        conditions.append(make_condition(REFRESHED, not_refreshed, good, message))
    conditions += stalled(unready, not_refreshed)
    return with_conditions(status, conditions, previous, now)


def find_not_refreshed(outcome: Outcome, target: TargetInput, plan: TargetPlan) -> Problem | None:
    """Return why the latest refresh did not work; None if it did."""
    known = outcome.known
    trouble = known.trouble.problem
    if trouble is not None and trouble.reason is Reason.INTERNAL_ERROR:
        return trouble
    from_target = None if target.obstacle else plan.problem
    return (
        outcome.token_plan.problem
        or from_target
        or known.attempts.problem
        or target.attempts.problem
        or trouble
    )


def _reason_of(target: TargetInput, not_refreshed: Problem | None) -> Reason:
    """Return the reason of the condition Refreshed."""
    problem = not_refreshed or target.repairs.problem
    return problem.reason if problem else Reason.SUCCEEDED


def invalid_status(
    problem: Problem, generation: int, previous: Status, now: datetime
) -> dict[str, Any]:
    """Return the status of a resource that the operator cannot read."""
    status: dict[str, Any] = {**previous, "observedGeneration": generation}
    status.pop("refreshAt", None)
    conditions = [make_condition(READY, problem, Reason.TOKEN_VALID, ""), *stalled(problem)]
    return with_conditions(status, conditions, previous, now)


def with_conditions(
    status: dict[str, Any], conditions: Sequence[dict[str, Any]], previous: Status, now: datetime
) -> dict[str, Any]:
    """Return a status with our conditions; those of other controllers stay as they were.

    `lastTransitionTime` moves only when a condition's status does.
    """
    existing: Sequence[Mapping[str, Any]] = previous.get("conditions") or ()
    before = {one.get("type"): one for one in existing}
    for condition in conditions:
        old = before.get(condition["type"], {})
        moved = old.get("status") != condition["status"]
        condition["observedGeneration"] = status["observedGeneration"]
        condition["lastTransitionTime"] = format_time(now) if moved else old["lastTransitionTime"]
    others = [dict(one) for one in existing if one.get("type") not in _OURS]
    return {**status, "conditions": [*conditions, *others]}


def make_condition(
    kind: str, problem: Problem | None, good: Reason, message: str
) -> dict[str, Any]:
    """Return a condition: False with the problem's reason and message, or True with the others."""
    return {
        "type": kind,
        "status": "False" if problem else "True",
        "reason": str(problem.reason if problem else good),
        "message": problem.message if problem else message,
    }


def stalled(*problems: Problem | None) -> list[dict[str, Any]]:
    """Return the condition Stalled if one of the problems does not heal by waiting."""
    for problem in problems:
        if problem is not None and problem.reason in _STALLING:
            reason, message = str(problem.reason), problem.message
            return [{"type": STALLED, "status": "True", "reason": reason, "message": message}]
    return []


def _next_attempt(
    outcome: Outcome, target: TargetInput, plan: TargetPlan, times: TokenTimes | None
) -> datetime | None:
    known, token_plan = outcome.known, outcome.token_plan
    if target.obstacle or known.trouble.problem:
        return None
    if token_plan.problem and token_plan.problem.reason is not Reason.TARGET_CONTESTED:
        return None
    blocked = known.attempts.retry_at or target.attempts.retry_at
    if token_plan.problem and token_plan.held_until:
        return token_plan.wake_at
    if plan.problem and plan.problem.reason is not Reason.TARGET_CONTESTED:
        return plan.wake_at
    if plan.held_until:
        return plan.held_until
    return blocked or (times.refresh_at if times else None)


def _valid(target: TargetInput, wanted: Wanted, times: TokenTimes, expires_at: str) -> str:
    secret = f"Secret {'/'.join(target.spec.key)}"
    message = f"the token in {secret} is valid until {expires_at}"
    message += margin_note(wanted, times)
    found, spec = target.target, target.spec
    if found is not None and found.type != spec.template.type and not spec.merges:
        message += (
            f"; the Secret's type {found.type} cannot be changed; delete the Secret and the "
            "operator will recreate it with spec.target.template.type"
        )
    return message


def margin_note(wanted: Wanted, times: TokenTimes) -> str:
    """Return what to add to a message if the requested margin is not kept; else nothing."""
    asked, lifetime = wanted.refresh_before, times.expires_at - times.refreshed_at
    if asked is None or margin(lifetime, asked) >= asked:
        return ""
    return (
        f"; refreshBefore exceeds half of its lifetime of {_seconds(lifetime)}, so it is "
        f"refreshed {_seconds(margin(lifetime, asked))} before expiry"
    )


def _seconds(duration: timedelta) -> str:
    return f"{int(duration.total_seconds())}s"
