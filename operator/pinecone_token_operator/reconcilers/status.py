"""The status of a resource, as users read it. No I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pinecone_token_operator.api.access_token import CreationPolicy, PineconeAccessToken
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.policies import schedule
from pinecone_token_operator.policies.decision import Decision
from pinecone_token_operator.policies.observed import Observed, Problem
from pinecone_token_operator.targets.target import TokenTimes, format_time

READY = "Ready"
REFRESHED = "Refreshed"


def compute_status(
    observed: Observed, decision: Decision, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the whole status; a field that does not apply is left out."""
    resource, attempts = observed.resource, observed.attempts
    times = None if decision.not_ready else observed.times
    not_refreshed = decision.not_refreshed or attempts.problem
    status: dict[str, Any] = {
        "observedGeneration": resource.metadata.generation,
        "failedAttempts": attempts.failures,
        "conditions": [],
    }
    if times is not None:
        status["secretName"] = resource.target_name
        status["expiresAt"] = format_time(times.expires_at)
        status["lastRefreshAt"] = format_time(times.refreshed_at)
    next_attempt = _next_attempt(observed, decision, times)
    if next_attempt is not None:
        status["refreshAt"] = format_time(next_attempt)
    ready = decision.not_ready or _not_ready(resource, times, not_refreshed, now)
    valid = _valid(observed, times) if times else ""
    _add(status, READY, ready, valid, now, previous)
    if not_refreshed or times:
        message = f"the token was fetched at {format_time(times.refreshed_at)}" if times else ""
        _add(status, REFRESHED, not_refreshed, message, now, previous)
    return status


def status_patch(
    status: Mapping[str, Any], previous: Mapping[str, Any], uid: str
) -> list[dict[str, Any]] | None:
    """Return the JSON patch (RFC 6902) from one status to another, or None if they are equal.

    It is refused by a resource of the same name that was created meanwhile. A merge patch would not
    be: of what is sent to the status, the API server looks at no other field, the UID included.
    """
    if status == previous:
        return None
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/status", "value": dict(status)},
    ]


def _next_attempt(
    observed: Observed, decision: Decision, times: TokenTimes | None
) -> datetime | None:
    if decision.not_ready or decision.not_refreshed:
        return None
    return observed.attempts.retry_at or (times.refresh_at if times else None)


def _not_ready(
    resource: PineconeAccessToken,
    times: TokenTimes | None,
    not_refreshed: Problem | None,
    now: datetime,
) -> Problem | None:
    why = f": {not_refreshed.message}" if not_refreshed else ""
    if times is None:
        if not_refreshed and not_refreshed.reason in (
            Reason.CREDENTIALS_NOT_FOUND,
            Reason.CREDENTIALS_INVALID,
        ):
            return not_refreshed
        return Problem(
            Reason.TOKEN_MISSING, f"the Secret {resource.target_name} holds no token yet{why}"
        )
    if times.expires_at <= now:
        expired = f"the token in the Secret {resource.target_name} expired at "
        return Problem(Reason.TOKEN_EXPIRED, f"{expired}{format_time(times.expires_at)}{why}")
    return None


def _valid(observed: Observed, times: TokenTimes) -> str:
    resource, target = observed.resource, observed.target
    message = (
        f"the token in the Secret {resource.target_name} is valid until "
        f"{format_time(times.expires_at)}"
    )
    wanted, lifetime = resource.spec.refresh_before, times.expires_at - times.refreshed_at
    if wanted is not None and schedule.margin(lifetime, wanted) < wanted:
        message += (
            f"; refreshBefore is more than half of its life of {_seconds(lifetime)}, so it is "
            f"refreshed {_seconds(schedule.margin(lifetime, wanted))} before its expiry"
        )
    owned = resource.spec.target.creation_policy is CreationPolicy.OWNER
    if owned and target is not None and target.type != resource.spec.target.template.type:
        message += (
            f"; the Secret's type {target.type} cannot be changed: delete the Secret, and it is "
            f"made anew with template.type"
        )
    return message


def _add(
    status: dict[str, Any],
    kind: str,
    problem: Problem | None,
    message: str,
    now: datetime,
    previous: Mapping[str, Any],
) -> None:
    good = Reason.TOKEN_VALID if kind == READY else Reason.SUCCEEDED
    value = "False" if problem else "True"
    conditions: list[dict[str, Any]] = previous.get("conditions") or []
    before = next((one for one in conditions if one.get("type") == kind), {})
    moved = before.get("status") != value
    status["conditions"].append(
        {
            "type": kind,
            "status": value,
            "observedGeneration": status["observedGeneration"],
            "lastTransitionTime": format_time(now) if moved else before["lastTransitionTime"],
            "reason": str(problem.reason if problem else good),
            "message": problem.message if problem else message,
        }
    )


def _seconds(duration: timedelta) -> str:
    return f"{int(duration.total_seconds())}s"
