"""The sidecar's current token and state, which endpoint, probes and metrics read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.telemetry.metrics import TokenSample


@dataclass(frozen=True, slots=True)
class CurrentToken:
    """A token and when it expires."""

    access_token: str = field(repr=False)
    expires_at: datetime


@dataclass(slots=True)
class Current:
    """What the sidecar knows now; the loop writes it, and everything else reads it.

    Attributes:
        now: the clock.
        token: the newest token, which may have expired.
        published_until: when the token that applications can read or fetch expires; None if
            there is none.
        problem: why the latest attempt to fetch or write a token failed; empty if it did not.
        retry_at: when the next attempt follows; None if none is scheduled.
        beat: when the loop last made progress; monotonic seconds.
    """

    now: Callable[[], datetime]
    token: CurrentToken | None = None
    published_until: datetime | None = None
    problem: str = ""
    retry_at: datetime | None = None
    beat: float = 0.0

    def valid(self) -> CurrentToken | None:
        """Return the token if it has not expired."""
        return self.token if self.remaining() > timedelta() else None

    def remaining(self) -> timedelta:
        """Return the token's remaining lifetime; zero or less if there is no valid token."""
        return self.token.expires_at - self.now() if self.token else timedelta()

    def unpublished(self) -> list[str]:
        """Return why applications have no token, valid or not; empty if they have one."""
        return [] if self.published_until else [self.problem or "there is no token yet"]

    def not_ready(self) -> list[str]:
        """Return why applications have no valid token; empty if they have one."""
        if self.published_until and self.published_until > self.now():
            return []
        expired = "the token has expired" if self.published_until else "there is no token yet"
        return [self.problem or expired]

    def retry_after(self) -> timedelta:
        """Return how long until the next attempt, at least a second and at most half a minute."""
        wait = self.retry_at - self.now() if self.retry_at else timedelta()
        return min(max(wait, timedelta(seconds=1)), timedelta(seconds=30))


NO_RESOURCE = ObjectRef("", "", "")
"""Labels the sidecar's samples: there is no resource, and a scrape adds the pod's own labels."""


def sample(
    current: Current,
    reason: str,
    refreshed_at: datetime | None = None,
    refresh_at: datetime | None = None,
) -> TokenSample:
    """Return what is reported of the token.

    Args:
        current: the token.
        reason: a condition reason: how the latest attempt went.
        refreshed_at: when the token was requested.
        refresh_at: when it is to be refreshed.
    """
    return TokenSample(
        ready=current.valid() is not None,
        refreshed=not current.problem,
        reason=reason,
        expires_at=current.token.expires_at if current.token else None,
        refresh_at=refresh_at,
        refreshed_at=refreshed_at,
    )
