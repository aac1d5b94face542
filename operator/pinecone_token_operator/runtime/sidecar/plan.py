"""When the sidecar requests a token, and why. No I/O, no clock.

The operator's token chain answers more than this: about resources, other writers and targets in an
API server. The times are the same.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.schedule import refresh_window
from pinecone_token_operator.targets.stored_token import TokenTimes

AT_ONCE: Final = datetime(1, 1, 1, tzinfo=UTC)
# A machine's clock may have been corrected by so much since the token was written.
_SKEW: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed token requests in a row.

    Attributes:
        count: how many.
        retry_at: when to retry.
        credentials: the fingerprint of what the latest one was made with. With other credentials,
            waiting makes no sense.
    """

    count: int = 0
    retry_at: datetime = AT_ONCE
    credentials: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """What the decision depends on.

    Attributes:
        token: the times of the newest token; None if there is none.
        credentials: the fingerprint of the credentials as they are now.
        refresh_before: the margin before expiry; None means the default.
        failures: the latest failed attempts.
        damping: token requests that changed credentials caused lately.
    """

    token: TokenTimes | None
    credentials: str
    refresh_before: timedelta | None = None
    failures: Failures = field(default_factory=Failures)
    damping: Damping = field(default_factory=Damping)


@dataclass(frozen=True, slots=True)
class Request:
    """A token request.

    Attributes:
        at: from when on it is to be sent.
        why: half a sentence for the log.
        scheduled: whether the schedule wants it, and nothing delayed it.
        changed: whether changed credentials want it.
    """

    at: datetime
    why: str
    scheduled: bool = False
    changed: bool = False


def next_request(given: Given, now: datetime) -> Request:
    """Return the next token request."""
    request = _wanted(given, now)
    failures = given.failures
    if failures.credentials == given.credentials and failures.retry_at > request.at:
        return Request(failures.retry_at, request.why, changed=request.changed)
    return request


def _wanted(given: Given, now: datetime) -> Request:
    times = given.token
    if times is None:
        return Request(AT_ONCE, "there is no token yet")
    if times.expires_at <= now:
        return Request(AT_ONCE, "the token has expired")
    if times.refreshed_at > now + _SKEW:
        return Request(AT_ONCE, "the token's issue time is in the future")
    earliest, latest = refresh_window(times.refreshed_at, times.expires_at, given.refresh_before)
    scheduled = max(earliest, min(times.refresh_at, latest))
    if times.credentials != given.credentials:
        # Files that somebody keeps changing must not cause a request each second.
        held_until = given.damping.held_until or AT_ONCE
        if held_until < scheduled:
            return Request(held_until, "the credentials changed", changed=True)
    return Request(scheduled, "the refresh is due", scheduled=True)
