"""Rate limiting: everything that uses one client id is one caller of the token endpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pinecone_token_operator.backoff import requested_delay, retry_delay
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.issuer import TokenEndpoint
from pinecone_token_operator.issuing.oauth import AccessToken

SUCCESS: Final = "success"
# A rate-limited client id is probed this long before a token expires, despite any Retry-After.
PROBE_BEFORE_EXPIRY: Final = timedelta(seconds=60)
_PROBES_APART: Final = 30.0  # seconds
# How long callers wait while another caller's probe is in flight.
_PROBE_POLL: Final = timedelta(seconds=2)
# A client id that was not used for this long is forgotten.
_FORGET_AFTER: Final = timedelta(minutes=30)

Observe = Callable[[str, float], None]
"""Counts one token request: its result and how many seconds it took."""


@dataclass(slots=True)
class _Limit:
    """What is known of a rate-limited client id; times are monotonic seconds."""

    since: float
    until: float
    failures: int
    last_request: float
    probing: bool = False


class RateLimitedIssuer:
    """Issues tokens, and holds back requests for a client id that got a 429.

    Until the endpoint's `Retry-After` has passed (or a backoff, if it sent none), callers get a
    `THROTTLED` error without a request. Then one request probes; the others wait for its result.
    The deadlines use the monotonic clock: the API server's may be set forward.

    Args:
        endpoint: sends the token requests.
        observe: called for each request that was sent.
        env: the clocks and random numbers.
    """

    def __init__(self, endpoint: TokenEndpoint, observe: Observe, env: Env) -> None:
        self._endpoint = endpoint
        self._observe = observe
        self._env = env
        self._limits: dict[str, _Limit] = {}

    async def issue(self, credentials: Credentials, remaining: timedelta) -> AccessToken:
        """Return a new access token; see `Issuer.issue`."""
        client_id = credentials.client_id
        limit = self._limits.get(client_id)
        if limit is not None:
            self._check(limit, remaining)
            limit.probing = True
        started = self._env.monotonic()
        try:
            token = await self._endpoint.issue(credentials)
        except ExchangeError as error:
            self._observe(error.failure, self._env.monotonic() - started)
            if error.failure is ExchangeFailure.THROTTLED:
                raise self._limited(client_id, error, started, remaining) from error
            raise
        else:
            self._observe(SUCCESS, self._env.monotonic() - started)
            # A request that was sent before the 429 says nothing about what came after it.
            if (known := self._limits.get(client_id)) and started >= known.since:
                del self._limits[client_id]
            return token
        finally:
            if limit is not None:
                limit.probing = False

    def _check(self, limit: _Limit, remaining: timedelta) -> None:
        """Raise unless this caller may send a request now."""
        wait = _wait(limit, remaining, self._env.monotonic())
        if limit.probing:
            wait = max(wait, _PROBE_POLL.total_seconds() * (1 + self._env.rng.random()))
        if wait > 0:
            raise ExchangeError(
                ExchangeFailure.THROTTLED,
                "the token endpoint rate-limited this client id; waiting to retry",
                retry_after=timedelta(seconds=wait),
            )

    def _limited(
        self, client_id: str, error: ExchangeError, started: float, remaining: timedelta
    ) -> ExchangeError:
        """Note a 429, and return it with the delay that applies."""
        now = self._env.monotonic()
        before = self._limits.get(client_id)
        # Requests that were in flight together are one attempt.
        together = before is not None and started < before.since
        failures = before.failures + (not together) if before else 1
        fraction = self._env.rng.random()
        if error.retry_after is not None:
            delay = requested_delay(error.retry_after, fraction)
        else:
            # At least half of it: with full jitter, a probe could follow at once.
            delay = retry_delay(failures, remaining, 0.5 + fraction / 2)
        until = now + delay.total_seconds()
        if together and before is not None:
            until = max(until, before.until)
        limit = self._limits[client_id] = _Limit(now, until, failures, now)
        self._prune(now)
        return ExchangeError(
            error.failure,
            error.summary,
            error.http_status,
            error.oauth_error,
            timedelta(seconds=_wait(limit, remaining, now)),
        )

    def _prune(self, now: float) -> None:
        forget = now - _FORGET_AFTER.total_seconds()
        for client_id in [one for one, limit in self._limits.items() if limit.until < forget]:
            del self._limits[client_id]


def _wait(limit: _Limit, remaining: timedelta, now: float) -> float:
    """Return for how many seconds a caller has to wait; zero or less if it need not."""
    wait = limit.until - now
    last_minute = now + (remaining - PROBE_BEFORE_EXPIRY).total_seconds()
    # One probe before the token expires: the endpoint may ask to wait for longer than that.
    if remaining > timedelta() and limit.last_request + _PROBES_APART <= last_minute:
        # The wait is lengthened by up to a tenth, and must not reach beyond the expiry.
        margin = max(PROBE_BEFORE_EXPIRY, remaining / 5)
        wait = min(wait, (remaining - margin).total_seconds())
    return wait
