"""Rate limiting: everything that uses one client id is one caller of the token endpoint."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from pinecone_token_operator.backoff import requested_delay, retry_delay
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure, Hold
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.issuer import TokenEndpoint
from pinecone_token_operator.issuing.oauth import AccessToken
from pinecone_token_operator.keys import ObjectRef

SUCCESS: Final = "success"
# A rate-limited client id is probed this long before a token expires, despite any Retry-After.
PROBE_BEFORE_EXPIRY: Final = timedelta(seconds=60)
_PROBES_APART: Final = 30.0  # seconds
# How long a caller waits for another caller's probe beyond the time when it is due.
_PATIENCE: Final = timedelta(seconds=60)
# How long callers wait at least while another caller's probe is in flight.
_PROBE_POLL: Final = timedelta(seconds=2)
# A client id that was not used for this long is forgotten.
_FORGET_AFTER: Final = timedelta(minutes=30)

Observe = Callable[[str, float], None]
"""Counts one token request: its result and how many seconds it took."""


@dataclass(slots=True)
class _Limit:
    """What is known of a rate-limited client id; times are monotonic seconds.

    Attributes:
        since: when the latest 429 arrived.
        until: when the next request may be sent.
        failures: how many times in a row it was rate-limited.
        asked: whether the endpoint said how long to wait.
        last_request: when the latest request was answered.
        prober: who sends the next request; None if any caller may.
        probing: whether that request is in flight.
        waiting: the callers that wait, each with the expiry of its token and when it asked last.
        hold: what they wait for.
    """

    since: float
    until: float
    failures: int
    asked: bool
    last_request: float
    prober: ObjectRef | None = None
    probing: bool = False
    waiting: dict[ObjectRef, tuple[float, float]] = field(default_factory=dict)
    hold: Hold = field(default_factory=Hold)

    def least_remaining(self, remaining: timedelta, now: float) -> timedelta:
        """Return the least lifetime that a token of a waiting caller has left."""
        expiries = (expiry - now for expiry, _ in self.waiting.values())
        return timedelta(seconds=min([remaining.total_seconds(), *expiries]))


class RateLimitedIssuer:
    """Issues tokens, and holds back requests for a client id that got a 429.

    Until the endpoint's `Retry-After` has passed (or a backoff, if it sent none), callers get a
    `THROTTLED` error without a request. Then one of them probes, and the others wait for its
    success, which resumes them all at once.
    The deadlines use the monotonic clock: the API server's may be set forward.

    Args:
        endpoint: sends the token requests.
        observe: called for each request that was sent.
        env: the clocks and random numbers.
        resume: called with each caller that waited, once the client id is not rate-limited any
            more; must not block.
    """

    def __init__(
        self,
        endpoint: TokenEndpoint,
        observe: Observe,
        env: Env,
        resume: Callable[[ObjectRef], None] = lambda _: None,
    ) -> None:
        self._endpoint = endpoint
        self._observe = observe
        self._env = env
        self._resume = resume
        self._limits: dict[str, _Limit] = {}

    async def issue(
        self, credentials: Credentials, remaining: timedelta, caller: ObjectRef | None = None
    ) -> AccessToken:
        """Return a new access token; see `Issuer.issue`."""
        client_id = credentials.client_id
        limit = self._limits.get(client_id)
        if limit is not None:
            self._check(limit, remaining, caller)
            limit.probing = True
        started = self._env.monotonic()
        try:
            token = await self._endpoint.issue(credentials)
        except ExchangeError as error:
            self._observe(error.failure, self._env.monotonic() - started)
            if error.failure is ExchangeFailure.THROTTLED:
                raise self._limited(client_id, error, started, remaining, caller) from error
            if error.failure is ExchangeFailure.REJECTED:
                # Which is an answer: other callers may have other client secrets.
                self._end(client_id, started)
            raise
        else:
            self._observe(SUCCESS, self._env.monotonic() - started)
            self._end(client_id, started)
            return token
        finally:
            if limit is not None:
                limit.probing = False

    def _check(self, limit: _Limit, remaining: timedelta, caller: ObjectRef | None) -> None:
        """Raise unless this caller may send a request now."""
        now = self._env.monotonic()
        wait = _wait(limit, remaining, now)
        if limit.probing:
            wait = max(wait, _PROBE_POLL.total_seconds() * (1 + self._env.rng.random()))
        if wait <= 0:
            return
        raise ExchangeError(
            ExchangeFailure.THROTTLED,
            "the token endpoint rate-limited this client id; waiting to retry",
            retry_after=self._queue(limit, remaining, caller, wait),
            hold=limit.hold,
        )

    def _queue(
        self, limit: _Limit, remaining: timedelta, caller: ObjectRef | None, wait: float
    ) -> timedelta:
        """Have a caller wait, and return when it is to ask again if it is not resumed before."""
        now = self._env.monotonic()
        if caller is None:
            return timedelta(seconds=wait)
        limit.waiting[caller] = now + remaining.total_seconds(), now
        if limit.prober is None or now + wait < limit.until:
            limit.prober = caller
            limit.until = min(limit.until, now + wait)
        if limit.prober == caller and not limit.probing:
            return timedelta(seconds=wait)
        # The prober may be gone by then.
        patience = max(_PATIENCE.total_seconds(), wait / 5)
        return timedelta(seconds=wait + patience * (1 + self._env.rng.random()))

    def _limited(
        self,
        client_id: str,
        error: ExchangeError,
        started: float,
        remaining: timedelta,
        caller: ObjectRef | None,
    ) -> ExchangeError:
        """Note a 429, and return it with the delay that applies."""
        now = self._env.monotonic()
        before = self._limits.get(client_id)
        # Requests that were in flight together are one attempt.
        together = before is not None and started < before.since
        failures = before.failures + (not together) if before else 1
        limit = _Limit(now, now, failures, error.retry_after is not None, now)
        if before is not None:
            limit.waiting, limit.hold = before.waiting, before.hold
            limit.prober = before.prober if together else None
            _forget_absent(limit, now)
        fraction = self._env.rng.random()
        if error.retry_after is not None:
            delay = requested_delay(error.retry_after, fraction)
        else:
            # At least half of it: with full jitter, a probe could follow at once.
            least = limit.least_remaining(remaining, now)
            delay = retry_delay(failures, least, 0.5 + fraction / 2)
        limit.until = now + delay.total_seconds()
        if together and before is not None:
            limit.until = max(limit.until, before.until)
        self._limits[client_id] = limit
        self._prune(now)
        wait = _wait(limit, remaining, now)
        return ExchangeError(
            error.failure,
            error.summary,
            error.http_status,
            error.oauth_error,
            self._queue(limit, remaining, caller, wait),
            limit.hold,
        )

    def _end(self, client_id: str, started: float) -> None:
        """Resume those who wait, after a request that was not rate-limited."""
        limit = self._limits.get(client_id)
        # A request that was sent before the 429 says nothing about what came after it.
        if limit is None or started < limit.since:
            return
        del self._limits[client_id]
        limit.hold.is_over = True
        for caller in limit.waiting:
            self._resume(caller)

    def _prune(self, now: float) -> None:
        forget = now - _FORGET_AFTER.total_seconds()
        for client_id in [one for one, limit in self._limits.items() if limit.until < forget]:
            del self._limits[client_id]


def _forget_absent(limit: _Limit, now: float) -> None:
    """Forget callers that have not asked for long: they are gone, or need no token any more."""
    since = now - _FORGET_AFTER.total_seconds()
    for caller in [one for one, (_, asked_at) in limit.waiting.items() if asked_at < since]:
        del limit.waiting[caller]


def _wait(limit: _Limit, remaining: timedelta, now: float) -> float:
    """Return for how many seconds a caller has to wait; zero or less if it need not."""
    wait = limit.until - now
    if not limit.asked:
        # A caller whose token expires sooner than those of the others waits for less.
        longest = retry_delay(limit.failures, remaining, 1.0).total_seconds()
        return min(wait, limit.last_request + longest - now)
    last_minute = now + (remaining - PROBE_BEFORE_EXPIRY).total_seconds()
    # One probe before the token expires: the endpoint may ask to wait for longer than that.
    if remaining > timedelta() and limit.last_request + _PROBES_APART <= last_minute:
        # The wait is lengthened by up to a tenth, and must not reach beyond the expiry.
        margin = max(PROBE_BEFORE_EXPIRY, remaining / 5)
        wait = min(wait, (remaining - margin).total_seconds())
    return wait
