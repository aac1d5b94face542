"""What to do about a resource, and why. No I/O, no clock: everything is an argument.

`decide` asks the checks below in their order; the first that has an answer wins.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.policies import ownership, schedule
from pinecone_token_operator.policies.decision import Action, Decision
from pinecone_token_operator.policies.observed import Observed, Problem
from pinecone_token_operator.targets.secret import desire, secret_patch
from pinecone_token_operator.targets.target import (
    StoredToken,
    TokenTimes,
    format_time,
)

# How far the clocks of several API servers may be apart.
_SKEW = timedelta(seconds=30)
# What falls due in one second is spread over so much of it.
_SPREAD = timedelta(seconds=0.75)


def decide(observed: Observed, now: datetime) -> Decision:
    """Return what to do about a resource now."""
    for check in _CHECKS:
        decision = check(observed, now)
        if decision is not None:
            return decision
    return Decision(Action.REST, "nothing to do now", not_refreshed=_no_credentials(observed))


def is_outdated(observed: Observed, decision: Decision) -> bool:
    """Return whether what failed lately says nothing any more, since nothing is left to be done.

    Wrong credentials that were put back to the former ones, say: the token is theirs already.
    """
    return (
        decision.action is Action.REST
        and decision.not_ready is None
        and decision.not_refreshed is None
        and observed.attempts.problem is not None
        and observed.attempts.basis != observed.basis
    )


def wake_at(observed: Observed, decision: Decision, now: datetime) -> datetime | None:
    """Return when, after the decision, time alone changes the answer; None if it doesn't.

    Args:
        observed: what is true after what was decided has been done.
        decision: the decision.
        now: when it was made.
    """
    if decision.not_ready:
        return None
    # A token may be due by the time it is written at last, or by the plan that a repair gave it.
    if decision.action is Action.WRITE and (
        _exchange_needed(observed, now) or _exchange_due(observed, now)
    ):
        return now
    expires_at = observed.times.expires_at if observed.times else None
    moments: list[datetime | None] = [expires_at]
    if _no_credentials(observed) and not observed.resource.spec.suspend:
        # A watch that has fallen silent tells of new ones late.
        unusable_for = now - (observed.unusable_since or now)
        life_left = expires_at - now if expires_at else timedelta()
        moments.append(now + schedule.look_again(unusable_for, life_left))
    if decision.not_refreshed is None:
        moments.append(observed.attempts.retry_at)
        moments.append(observed.resource.refresh_requested_at)
        planned_at = _planned_at(observed)
        # Plans are in whole seconds, of which each would begin with a burst.
        moments.append(planned_at and planned_at + _SPREAD * observed.fraction)
    return min((moment for moment in moments if moment and moment > now), default=None)


def _suspended(observed: Observed, _: datetime) -> Decision | None:
    if not observed.resource.spec.suspend:
        return None
    problem = Problem(Reason.SUSPENDED, "spec.suspend is true: set it to false to go on")
    return Decision(Action.REST, "it is suspended", not_refreshed=problem)


def _token_in_hand(observed: Observed, now: datetime) -> Decision | None:
    token = observed.in_hand
    if token is None or token.credentials != observed.credentials or token.expires_at <= now:
        return None
    return _write(observed, token, "a token waits to be written", now)


def _token_kept(observed: Observed, now: datetime) -> Decision | None:
    """The target has lost a token that would still be good for a while."""
    token = observed.kept
    if (
        token is None
        or observed.times is not None
        or token.credentials != observed.credentials
        or token.refresh_at <= now
        or _request(observed, token.refreshed_at, now)
    ):
        return None
    return _write(observed, token, "the target has lost its token", now)


def _exchange_needed(observed: Observed, now: datetime) -> Decision | None:
    why = _why_exchange(observed, now)
    if why is None or _may_not_exchange(observed, now):
        return None
    return Decision(Action.EXCHANGE, why)


def _exchange_due(observed: Observed, now: datetime) -> Decision | None:
    planned_at = _planned_at(observed)
    if planned_at is None or planned_at > now or _may_not_exchange(observed, now):
        return None
    return Decision(Action.EXCHANGE, "the token is due", planned_at=planned_at)


def _repair_needed(observed: Observed, now: datetime) -> Decision | None:
    """Also while an exchange has to wait, or can't be made: the token has some life left."""
    resource, target, token = observed.resource, observed.target, observed.stored
    if target is None or token is None or token.expires_at <= now:
        return None
    earliest, latest = schedule.refresh_window(
        token.refreshed_at, token.expires_at, resource.spec.refresh_before
    )
    if not earliest <= token.refresh_at <= latest:
        planned = schedule.refresh_at(
            token.refreshed_at,
            token.expires_at,
            resource.spec.refresh_before,
            observed.fraction,
        )
        token = replace(token, refresh_at=planned)
    if secret_patch(target, desire(resource, token), resource.metadata.uid) is None:
        return None
    problem = observed.attempts.problem
    if problem and problem.reason is Reason.TARGET_NOT_WRITABLE and _must_wait(observed, now):
        return None
    return Decision(
        Action.WRITE,
        "the target is not as it should be",
        token,
        not_refreshed=_no_credentials(observed),
    )


_CHECKS: tuple[Callable[[Observed, datetime], Decision | None], ...] = (
    ownership.of_an_older_resource,
    ownership.of_somebody_else,
    ownership.not_to_be_merged_into,
    _suspended,
    _token_in_hand,
    _token_kept,
    _exchange_needed,
    _exchange_due,
    _repair_needed,
)


def _planned_at(observed: Observed) -> datetime | None:
    """Return when the schedule wants an exchange."""
    times = observed.times
    if times is None:
        return None
    # A plan damaged to a later time is not believed beyond what the schedule allows.
    _, latest = schedule.refresh_window(
        times.refreshed_at, times.expires_at, observed.resource.spec.refresh_before
    )
    return min(times.refresh_at, latest)


def _why_exchange(observed: Observed, now: datetime) -> str | None:
    times = observed.times
    if observed.target is None:
        return "the target does not exist"
    if times is None:
        return "the target holds no token that can be vouched for"
    if (why := _why_of_no_use(times, now)) is not None:
        return why
    if times.credentials != observed.credentials:
        return "the credentials changed"
    if (requested_at := _request(observed, times.refreshed_at, now)) is not None:
        return f"a refresh was requested for {format_time(requested_at)}"
    return None


def _request(observed: Observed, refreshed_at: datetime, now: datetime) -> datetime | None:
    """Return when somebody wanted a token newer than the one of this time; None if nobody did."""
    requested_at = observed.resource.refresh_requested_at
    # Whole seconds, like the time that it is compared with.
    if requested_at and refreshed_at < requested_at.replace(microsecond=0) <= now:
        return requested_at
    return None


def _write(observed: Observed, token: StoredToken, why: str, now: datetime) -> Decision:
    if _must_wait(observed, now):
        return Decision(Action.REST, "writing failed lately")
    return Decision(Action.WRITE, why, token)


def _why_of_no_use(times: TokenTimes, now: datetime) -> str | None:
    if times.expires_at <= now:
        return "the token has expired"
    # Its expiry is not to be believed either: whoever wrote it went by a clock that was ahead.
    if times.refreshed_at > now + _SKEW:
        return "the token was fetched in the future"
    return None


def _may_not_exchange(observed: Observed, now: datetime) -> bool:
    return _no_credentials(observed) is not None or _must_wait(observed, now)


def _no_credentials(observed: Observed) -> Problem | None:
    return observed.credentials if isinstance(observed.credentials, Problem) else None


def _must_wait(observed: Observed, now: datetime) -> bool:
    attempts = observed.attempts
    if attempts.retry_at is None or attempts.retry_at <= now:
        return False
    return attempts.basis == observed.basis
