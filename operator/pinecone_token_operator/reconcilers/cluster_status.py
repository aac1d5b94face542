"""The status of a resource with one token and many targets, as users read it. No I/O."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pinecone_token_operator.api.conditions import (
    READY,
    REFRESHED,
    TARGETS_READY,
    Problem,
    Reason,
)
from pinecone_token_operator.policies.input import Wanted
from pinecone_token_operator.reconcilers.copies import Copies, shorten
from pinecone_token_operator.reconcilers.outcome import Outcome
from pinecone_token_operator.reconcilers.status import (
    Status,
    make_condition,
    margin_note,
    stalled,
    with_conditions,
)
from pinecone_token_operator.targets.stored_token import TokenTimes, format_time

_EXAMPLE: Final = 400  # characters of one failure in the condition's message
_SELF_EXPLANATORY: Final = (Reason.CREDENTIALS_NOT_FOUND, Reason.CREDENTIALS_INVALID)
_NO_NAMESPACE: Final = "no namespace that the operator serves matches spec.namespaceSelector"


def compute_cluster_status(
    outcome: Outcome, copies: Copies, wanted: Wanted, previous: Status, now: datetime
) -> dict[str, Any]:
    """Return the whole status; conditions of other controllers stay."""
    known = outcome.known
    times = known.times
    not_refreshed = find_token_problem(outcome)
    status: dict[str, Any] = {
        "observedGeneration": wanted.generation,
        "failedAttempts": known.attempts.failures,
        "targets": copies.status(),
    }
    if times is not None:
        status["expiresAt"] = format_time(times.expires_at)
        status["lastRefreshAt"] = format_time(times.refreshed_at)
    next_attempt = _next_attempt(outcome, times)
    if next_attempt is not None:
        status["refreshAt"] = format_time(next_attempt)
    if known.handled_request:
        status["lastHandledRefreshRequest"] = known.handled_request
    unready = find_no_token(times, copies, not_refreshed, now)
    conditions = [_ready(unready, copies, wanted, times)]
    if not_refreshed or times:
        message = f"the token was issued at {format_time(times.refreshed_at)}" if times else ""
        conditions.append(make_condition(REFRESHED, not_refreshed, Reason.SUCCEEDED, message))
    conditions.append(_targets_ready(outcome, copies))
    conditions += stalled(unready, not_refreshed)
    return with_conditions(status, conditions, previous, now)


def blocked_status(
    problem: Problem, generation: int, previous: Status, now: datetime
) -> dict[str, Any]:
    """Return the status of a resource whose namespaces are unknown: its copies may be valid."""
    status: dict[str, Any] = {**previous, "observedGeneration": generation}
    known = {one.get("type"): one for one in previous.get("conditions") or ()}
    expires_at = str(previous.get("expiresAt") or "")
    ready, targets = known.get(READY), known.get(TARGETS_READY)
    # Times in this format compare as texts.
    if (
        ready
        and ready.get("status") == "True"
        and (not expires_at or expires_at > format_time(now))
    ):
        conditions = [_same(ready)]
    else:
        missing = Problem(Reason.TOKEN_MISSING, f"it is unknown who has a token: {problem.message}")
        conditions = [make_condition(READY, missing, Reason.TOKEN_VALID, "")]
    conditions.append(make_condition(REFRESHED, problem, Reason.SUCCEEDED, ""))
    conditions += [_same(targets)] if targets else []
    return with_conditions(status, conditions, previous, now)


def find_token_problem(outcome: Outcome) -> Problem | None:
    """Return why the latest refresh of the token did not work; None if it did."""
    known = outcome.known
    trouble = known.trouble.problem
    if trouble is not None and trouble.reason is Reason.INTERNAL_ERROR:
        return trouble
    return outcome.token_plan.problem or known.attempts.problem or trouble


def find_no_token(
    times: TokenTimes | None, copies: Copies, not_refreshed: Problem | None, now: datetime
) -> Problem | None:
    """Return why there is no valid token; None if there is one, or nowhere to write it to."""
    if not copies.matched:
        return None
    why = f": {not_refreshed.message}" if not_refreshed else ""
    if times is None:
        if not_refreshed and not_refreshed.reason in _SELF_EXPLANATORY:
            return not_refreshed
        if not why and copies.failed:
            why = f": {next(iter(copies.failed.values())).message}"
        return Problem(Reason.TOKEN_MISSING, f"no namespace holds a token{why}")
    if times.expires_at <= now:
        expired = f"the token expired at {format_time(times.expires_at)}"
        return Problem(Reason.TOKEN_EXPIRED, f"{expired}{why}")
    return None


def _ready(
    unready: Problem | None, copies: Copies, wanted: Wanted, times: TokenTimes | None
) -> dict[str, Any]:
    if times is None or not copies.matched:
        return make_condition(READY, unready, Reason.NO_NAMESPACE_SELECTED, _NO_NAMESPACE)
    message = f"the token is valid until {format_time(times.expires_at)}"
    message += margin_note(wanted, times)
    return make_condition(READY, unready, Reason.TOKEN_VALID, message)


def _targets_ready(outcome: Outcome, copies: Copies) -> dict[str, Any]:
    lacking = copies.matched - copies.ready
    if copies.failed or lacking:
        message = f"{copies.ready} of {copies.matched} namespaces hold the current token"
        for namespace in sorted(copies.failed)[:1]:
            example = shorten(copies.failed[namespace].message, _EXAMPLE)
            message += f"; in namespace {namespace}: {example}"
        problem = Problem(Reason.COPIES_FAILED, message)
        return make_condition(TARGETS_READY, problem, Reason.ALL_COPIED, "")
    incomplete = [given.repairs.problem for given, _ in outcome.targets if given.repairs.problem]
    if incomplete:
        count = "1 copy is" if len(incomplete) == 1 else f"{len(incomplete)} copies are"
        message = f"{count} incomplete: {shorten(incomplete[0].message, _EXAMPLE)}"
        return make_condition(TARGETS_READY, None, Reason.TARGET_INCOMPLETE, message)
    if not copies.matched:
        return make_condition(TARGETS_READY, None, Reason.NO_NAMESPACE_SELECTED, _NO_NAMESPACE)
    message = "every selected namespace has a copy of the current token"
    return make_condition(TARGETS_READY, None, Reason.ALL_COPIED, message)


def _next_attempt(outcome: Outcome, times: TokenTimes | None) -> datetime | None:
    known, token_plan = outcome.known, outcome.token_plan
    if known.trouble.problem:
        return None
    if token_plan.held_until:
        return token_plan.wake_at
    if token_plan.problem and token_plan.problem.reason is not Reason.TARGET_CONTESTED:
        return None
    return known.attempts.retry_at or (times.refresh_at if times else None)


def _same(condition: Mapping[str, Any]) -> dict[str, Any]:
    return {name: condition.get(name) for name in ("type", "status", "reason", "message")}
