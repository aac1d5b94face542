"""One exchange for one resource: a token to be written, or a failure noted with its retry."""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import AccessToken
from pinecone_token_operator.policies import schedule
from pinecone_token_operator.policies.observed import Observed, Problem
from pinecone_token_operator.reconcilers.state import Memory
from pinecone_token_operator.targets.target import StoredToken
from pinecone_token_operator.telemetry.metrics import SUCCESS, Metrics

_REASONS: Final = {
    ExchangeFailure.UNAVAILABLE: Reason.UNAVAILABLE,
    ExchangeFailure.THROTTLED: Reason.THROTTLED,
    ExchangeFailure.REJECTED: Reason.REJECTED,
    ExchangeFailure.INVALID: Reason.RESPONSE_INVALID,
}


class TokenEndpoint(Protocol):
    """What is needed of `token_client.TokenClient`."""

    async def exchange(self, credentials: Credentials) -> AccessToken:
        """Return a token, or raise `ExchangeError`."""
        ...


class Exchange:
    """Fetches tokens; a client that was told to wait waits, for all its resources.

    Args:
        endpoint: the token endpoint.
        metrics: counts.
        now: the clock; aware times in UTC.
        rng: spreads plans and retries.
    """

    def __init__(
        self,
        endpoint: TokenEndpoint,
        metrics: Metrics,
        now: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        self._endpoint = endpoint
        self._metrics = metrics
        self._now = now
        self._rng = rng
        # Until when each client id waits, by the loop's clock: the other one may be set forward.
        self._throttled: dict[str, float] = {}

    async def fetch(
        self, observed: Observed, credentials: Credentials, memory: Memory
    ) -> StoredToken | None:
        """Exchange the credentials; None if that failed, which is then noted."""
        clock = asyncio.get_running_loop().time
        started = clock()
        wait = timedelta(seconds=self._throttled.get(credentials.client_id, started) - started)
        if wait > timedelta():
            problem = Problem(
                Reason.THROTTLED, "the token endpoint asked for fewer requests with this client id"
            )
            retry_at = self._now() + schedule.back_off_throttled(wait, self._rng.random())
            memory.wait(observed, problem, retry_at)
            return None
        try:
            token = await self._endpoint.exchange(credentials)
        except ExchangeError as error:
            ended = clock()
            self._metrics.exchange(error.failure, ended - started)
            if error.retry_after is not None:
                until = ended + error.retry_after.total_seconds()
                self._throttled[credentials.client_id] = until
            self._failed(observed, memory, error)
            return None
        self._metrics.exchange(SUCCESS, clock() - started)
        self._throttled.pop(credentials.client_id, None)
        return StoredToken(
            access_token=token.access_token,
            token_type=token.token_type,
            refreshed_at=token.requested_at,
            expires_at=token.expires_at,
            refresh_at=schedule.refresh_at(
                token.requested_at,
                token.expires_at,
                observed.resource.spec.refresh_before,
                self._rng.random(),
            ),
            credentials=memory.credentials or "",
        )

    def _failed(self, observed: Observed, memory: Memory, error: ExchangeError) -> None:
        failures, fraction = memory.attempts.failures + 1, self._rng.random()
        now = self._now()
        life_left = observed.times.expires_at - now if observed.times else timedelta()
        message = str(error)
        if error.retry_after is not None:
            wait = schedule.back_off_throttled(error.retry_after, fraction)
        elif error.failure is ExchangeFailure.REJECTED:
            wait = schedule.back_off_rejected(failures, life_left, fraction)
            message += (
                f": check the client id and the client secret in the Secret "
                f"{observed.resource.spec.credentials_secret_ref.name}"
            )
        else:
            wait = schedule.back_off(failures, life_left, fraction)
        memory.failed(observed, Problem(_REASONS[error.failure], message), now + wait)
