"""The token chain: when a resource needs a new token, and why. No I/O, no clock.

Each check returns from when on it wants a new token. What is due now, and when time alone makes
something due, both follow from these.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.backoff import recheck_delay
from pinecone_token_operator.policies.contention import Cause, contested
from pinecone_token_operator.policies.input import TokenInput
from pinecone_token_operator.policies.schedule import refresh_window
from pinecone_token_operator.targets.stored_token import StoredToken, TokenTimes, format_time

# How far the clocks of several API servers may be apart.
_SKEW: Final = timedelta(seconds=30)
_CHANGED: Final = "the credentials changed"
_REQUESTED: Final = "a refresh was requested"
_RECREATED: Final = "the resource was recreated"
_ALWAYS: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """What to do about the token of one resource.

    Attributes:
        why: why a token is to be requested now, half a sentence for the log; empty if none is.
        deliver: a token that is in memory and to be written to the targets.
        problem: why no token is requested although one may be needed.
        scheduled_at: when the schedule wanted the request; None if something else caused it.
        contested: whether another writer caused the request.
        wake_at: when time alone changes this plan; None if it does not.
        outdated: whether the failed attempts say nothing any more, because nothing is due.
        held_until: until when a request waits because of another writer; None if none does.
    """

    why: str = ""
    deliver: StoredToken | None = None
    problem: Problem | None = None
    scheduled_at: datetime | None = None
    contested: bool = False
    wake_at: datetime | None = None
    outdated: bool = False
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Due:
    """From when on a new token is wanted.

    Attributes:
        at: the time.
        why: half a sentence for the log.
        scheduled: whether the schedule wants it.
        contested: whether another writer may have caused it, so that it is damped.
    """

    at: datetime
    why: str
    scheduled: bool = False
    contested: bool = False


def plan_token(given: TokenInput, now: datetime) -> TokenPlan:
    """Return what to do about the token now."""
    if given.wanted.suspend:
        suspended = Problem(Reason.SUSPENDED, "spec.suspend is true; set it to false to resume")
        return TokenPlan(problem=suspended)
    if isinstance(given.credentials, Problem):
        # Nothing new is needed to copy a token from one target to another.
        deliver = given.pending if _is_held(given, now) else None
        moments = [_recheck_at(given, now), *([deliver.expires_at] if deliver else [])]
        return TokenPlan(deliver=deliver, problem=given.credentials, wake_at=min(moments))
    at_hand = _at_hand(given, now)
    if at_hand is not None:
        token, until = at_hand
        return TokenPlan(deliver=token, wake_at=until)
    dues = _dues(given, now)
    blocked_until = given.blocked_until
    held_until = given.damping.held_until if any(one.contested for one in dues) else None
    moments = [_at(one, blocked_until, held_until) for one in dues]
    due = next((one for one, at in zip(dues, moments, strict=True) if at <= now), None)
    if due is not None:
        return TokenPlan(
            why=due.why,
            scheduled_at=due.at if due.scheduled else None,
            contested=due.contested,
        )
    problem = _contested(given, dues, held_until, now)
    if problem is None:
        held_until = None
    if held_until:
        moments.append(held_until)  # a failed attempt may have to wait for longer
    if given.damping.cause and not problem and (fought := given.damping.fought_until(now)):
        problem = given.damping.fight()
        moments.append(fought)
    # Some targets have it: the others get it, too, and do not hold up the next refresh.
    deliver = given.pending if _is_usable(given, now) or _is_held(given, now) else None
    if deliver:
        moments.append(deliver.expires_at)
    return TokenPlan(
        deliver=deliver,
        problem=problem,
        held_until=held_until,
        wake_at=min(moments, default=None),
        outdated=_is_outdated(given, dues, now),
    )


def request_cause(given: TokenInput, why: str) -> Cause:
    """Return what to record about a request that another writer caused."""
    if why in {_REQUESTED, _RECREATED}:
        return Cause(why, is_fight=False)
    # Another instance, with other settings, replaces the token and not the credentials.
    replaced = given.delivered is not None and given.times != given.delivered
    of_credentials = why == _CHANGED and not replaced
    return Cause(why, given.credentials_writer if of_credentials else given.writer)


def _at_hand(given: TokenInput, now: datetime) -> tuple[StoredToken, datetime] | None:
    """Return a token in memory that the targets lack, and until when it is of use."""
    pending, cached = given.pending, given.cached
    if _is_usable(given, now) and pending and pending.times != given.times:
        return pending, pending.expires_at
    if (
        cached
        and (given.times is None or given.reverted)
        and cached.credentials == given.credentials
        and cached.refresh_at > now
        and not _is_requested(given, cached.times)
    ):
        return cached, cached.refresh_at
    return None


def _is_usable(given: TokenInput, now: datetime) -> bool:
    """Return whether the pending token can be delivered."""
    pending = given.pending
    return (
        pending is not None
        and pending.credentials == given.credentials
        and pending.expires_at > now
    )


def _is_held(given: TokenInput, now: datetime) -> bool:
    """Return whether the pending token is one that some target holds, and is valid.

    Whether it can be replaced, or was issued for other credentials, makes no difference: a target
    that lacks it is not worse off with it.
    """
    pending = given.pending
    return pending is not None and pending.times == given.times and pending.expires_at > now


def _dues(given: TokenInput, now: datetime) -> list[_Due]:
    """Return what wants a new token, the first of those that are due being the one to report."""
    if not given.deliverable:
        return []
    if given.reverted:
        # The times of an older token would request a new one each time it is restored.
        why = "another writer restored an older token"
        return [_Due(_ALWAYS, why, contested=True)]
    return [due for check in _CHECKS if (due := check(given, now)) is not None]


def _missing(given: TokenInput, _: datetime) -> _Due | None:
    if given.times is not None:
        return None
    if given.recreated:
        return _Due(_ALWAYS, _RECREATED, contested=True)
    if given.had_token:
        return _Due(_ALWAYS, "the target lost its token", contested=True)
    return _Due(_ALWAYS, "the target holds no intact token")


def _expired(given: TokenInput, _: datetime) -> _Due | None:
    if given.times is None:
        return None
    return _Due(given.times.expires_at, "the token has expired")


def _from_the_future(given: TokenInput, now: datetime) -> _Due | None:
    # Its expiry is not trustworthy either: its writer used a clock that was ahead.
    if given.times is None or given.times.refreshed_at <= now + _SKEW:
        return None
    return _Due(_ALWAYS, "the token's issue time is in the future")


def _other_credentials(given: TokenInput, _: datetime) -> _Due | None:
    if given.times is None or given.times.credentials == given.credentials:
        return None
    return _Due(_ALWAYS, _CHANGED, contested=True)


def _requested(given: TokenInput, _: datetime) -> _Due | None:
    if given.times is None or not _is_requested(given, given.times):
        return None
    return _Due(_ALWAYS, _REQUESTED, contested=True)


def _scheduled(given: TokenInput, _: datetime) -> _Due | None:
    times = given.times
    if times is None:
        return None
    # The checksum does not cover this time: outside of what the schedule allows, another writer
    # or another margin made it. If an earlier one were believed, it could ask for ever more tokens.
    earliest, latest = refresh_window(
        times.refreshed_at, times.expires_at, given.wanted.refresh_before
    )
    at = max(earliest, min(times.refresh_at, latest))
    return _Due(at, "the refresh is due", scheduled=True)


_CHECKS: Final[tuple[Callable[[TokenInput, datetime], _Due | None], ...]] = (
    _missing,
    _expired,
    _from_the_future,
    _other_credentials,
    _requested,
    _scheduled,
)


def _at(due: _Due, blocked_until: datetime | None, held_until: datetime | None) -> datetime:
    """Return when a request may be made for this."""
    waits = (blocked_until, held_until if due.contested else None)
    return max([due.at, *(wait for wait in waits if wait is not None)])


def _contested(
    given: TokenInput, dues: list[_Due], held_until: datetime | None, now: datetime
) -> Problem | None:
    """Return that a request waits because of another writer."""
    if held_until is None or held_until <= now:
        return None
    why = next((one.why for one in dues if one.contested and one.at <= now), None)
    if why is None:
        return None
    cause, known = request_cause(given, why), given.damping.cause
    what = f"{why} {given.damping.count} times in quick succession"
    if not cause.is_fight:
        message = f"{what}; next attempt at {format_time(held_until)}"
        return Problem(Reason.TARGET_CONTESTED, message)
    writer = cause.writer or (known.writer if known and known.what == why else "")
    return contested(what, writer, held_until)


def _is_requested(given: TokenInput, token: TokenTimes) -> bool:
    """Return whether a refresh is requested that a token has not served; any new value is one."""
    request = given.wanted.request
    if not request or request in (given.handled_request, token.request):
        return False
    if token.request is None and not given.handled_request:
        # Version 0.1.0 recorded no served request; it compared times.
        requested_at = _as_time(request)
        return requested_at is None or requested_at > token.refreshed_at
    return True


def _as_time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.upper())
        return moment.astimezone(UTC).replace(microsecond=0) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _recheck_at(given: TokenInput, now: datetime) -> datetime:
    """Return when to read unusable credentials again, if no event reports a change."""
    remaining = given.times.expires_at - now if given.times else timedelta()
    return now + recheck_delay(now - (given.unusable_since or now), remaining)


def _is_outdated(given: TokenInput, dues: list[_Due], now: datetime) -> bool:
    """Return whether a failure says nothing any more, because nothing is due.

    For example, wrong credentials were reverted to the former ones: the token is theirs already.
    """
    attempts = given.attempts
    return (
        attempts.problem is not None
        and attempts.basis != given.basis
        and all(due.at > now for due in dues)
        and given.deliverable
    )
