"""Renewal: exchanges the credentials for tokens, in time, and has them written."""

import logging
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import (
    CredentialsInvalid,
    ExchangeError,
    ExchangeFailure,
    WriteFailed,
)
from pinecone_token_operator.issuing.credentials import Credentials, fingerprint
from pinecone_token_operator.issuing.failures import HANDLING, delay_after
from pinecone_token_operator.issuing.issuer import Issuer
from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.policies.schedule import refresh_at
from pinecone_token_operator.runtime.sidecar.credentials import CredentialSource
from pinecone_token_operator.runtime.sidecar.current import (
    NO_RESOURCE,
    Current,
    CurrentToken,
    sample,
)
from pinecone_token_operator.runtime.sidecar.plan import Failures, Given, Request, next_request
from pinecone_token_operator.runtime.sidecar.token_directory import TokenDirectory
from pinecone_token_operator.targets.stored_token import StoredToken, format_time
from pinecone_token_operator.telemetry.metrics import TokenSample

logger = logging.getLogger(__name__)


class TokenMetrics(Protocol):
    """The part of the metrics that a renewal reports to."""

    def lateness(self, seconds: float) -> None:
        """Record how late a refresh started."""
        ...

    def token(self, ref: ObjectRef, sample: TokenSample) -> None:
        """Set the token's samples."""
        ...


class Renewal:
    """Keeps one token fresh.

    Args:
        source: the credentials.
        issuer: issues tokens.
        directory: where tokens are written; None if they are only served.
        current: where the token is published to endpoint and probes.
        endpoint: what a fingerprint of credentials covers besides them.
        refresh_before: the margin before expiry; None means the default.
        metrics: what is measured.
        renewed: called with each new token once it is published.
        env: the clocks and random numbers.
    """

    def __init__(
        self,
        *,
        source: CredentialSource,
        issuer: Issuer,
        directory: TokenDirectory | None,
        current: Current,
        endpoint: Endpoint,
        refresh_before: timedelta | None,
        metrics: TokenMetrics,
        renewed: Callable[[CurrentToken], None],
        env: Env,
    ) -> None:
        self._source = source
        self._issuer = issuer
        self._directory = directory
        # The key of fingerprints of credentials.
        self._salt = directory.salt if directory else secrets.token_hex(16)
        self._current = current
        self._endpoint = endpoint
        self._refresh_before = refresh_before
        self._metrics = metrics
        self._renewed = renewed
        self._env = env
        self._token: StoredToken | None = None
        self._failures = Failures()
        self._damping = Damping()
        self._reason = Reason.SUCCEEDED
        self._unusable = ""
        self._unannounced = False

    @property
    def is_rejected(self) -> bool:
        """Whether the token endpoint rejected the credentials at the latest attempt."""
        return self._reason is Reason.REJECTED

    @property
    def is_done(self) -> bool:
        """Whether a token is published that needs no refresh yet, for the current credentials."""
        return (
            self._token is not None
            and self._current.published_until == self._token.expires_at
            and not self._current.problem
        )

    def resume(self, token: StoredToken) -> None:
        """Continue with the token of an earlier process, if it has not expired."""
        now = self._env.now()
        if token.expires_at <= now:
            return
        self._take(token)
        logger.info(
            "Found a token that expires at %s; no new one is needed until %s",
            format_time(token.expires_at),
            format_time(token.refresh_at),
        )

    async def step(self) -> None:
        """Do what is due: request a token, write it, and note what comes next."""
        credentials = self._read_credentials()
        if credentials is not None:
            await self._renew(credentials)
        self._write()
        self._metrics.token(
            NO_RESOURCE,
            sample(
                self._current,
                self._reason,
                self._token.refreshed_at if self._token else None,
                self._token.refresh_at if self._token else None,
            ),
        )

    def _read_credentials(self) -> Credentials | None:
        try:
            credentials = self._source.read()
        except CredentialsInvalid as error:
            if str(error) != self._unusable:
                logger.warning("Cannot use the credentials: %s; %s", error, self._what_is_left())
            self._unusable = str(error)
            self._fail(Reason.CREDENTIALS_INVALID, str(error))
            self._current.retry_at = None
            return None
        if self._unusable:
            logger.info("The credentials can be used again")
            self._unusable = ""
            self._succeed()
        return credentials

    async def _renew(self, credentials: Credentials) -> None:
        mark = fingerprint(
            credentials, self._salt, self._endpoint.audience, self._endpoint.token_url
        )
        now = self._env.now()
        request = next_request(self._given(mark), now)
        if request.at <= now:
            await self._request(credentials, mark, request)
            request = next_request(self._given(mark), self._env.now())
        elif self._failures.count and request.scheduled and self._failures.credentials != mark:
            # Wrong credentials were replaced by those that the token was issued for.
            self._failures = Failures()
            self._succeed()
        self._current.retry_at = request.at

    def _given(self, mark: str) -> Given:
        return Given(
            token=self._token.times if self._token else None,
            credentials=mark,
            refresh_before=self._refresh_before,
            failures=self._failures,
            damping=self._damping,
        )

    async def _request(self, credentials: Credentials, mark: str, request: Request) -> None:
        logger.info("Requesting a token: %s", request.why)
        if request.scheduled:
            self._metrics.lateness((self._env.now() - request.at).total_seconds())
        try:
            issued = await self._issuer.issue(credentials, self._current.remaining())
        except ExchangeError as error:
            self._request_failed(error, mark)
            return
        if request.changed:
            self._damping = self._damping.after(self._env.now())
        self._failures = Failures()
        self._succeed()
        self._unannounced = True
        times = issued.requested_at, issued.expires_at, self._refresh_before
        self._take(
            StoredToken(
                access_token=issued.access_token,
                token_type=issued.token_type,
                refreshed_at=issued.requested_at,
                expires_at=issued.expires_at,
                refresh_at=refresh_at(*times, self._env.rng.random()),
                credentials=mark,
            )
        )

    def _request_failed(self, error: ExchangeError, mark: str) -> None:
        now = self._env.now()
        # Held back because of an earlier 429: no request was sent.
        held_back = error.failure is ExchangeFailure.THROTTLED and error.http_status is None
        same = self._failures.credentials == mark
        count = (self._failures.count if same else 0) + (not held_back)
        delay = delay_after(error, count, self._current.remaining(), self._env.rng.random())
        self._failures = Failures(count, now + delay, mark)
        message = str(error)
        if error.failure is ExchangeFailure.REJECTED:
            message += f"; check the client id and client secret in {self._source.description}"
        self._fail(HANDLING[error.failure].reason, message)
        if not held_back:
            logger.warning(
                "Failed to fetch a token: %s; retrying in %d s; %s",
                message,
                delay.total_seconds(),
                self._what_is_left(),
            )

    def _take(self, token: StoredToken) -> None:
        self._token = token
        self._current.token = CurrentToken(token.access_token, token.expires_at)
        if self._directory:
            self._directory.put(token)

    def _write(self) -> None:
        """Write the token if that is due, and announce a new one once applications can read it."""
        token = self._token
        if token is None:
            return
        if self._directory is None:
            self._current.published_until = token.expires_at
        else:
            try:
                written = self._directory.sync()
            except WriteFailed as error:
                self._fail(Reason.TARGET_NOT_WRITABLE, str(error))
                logger.warning("%s; retrying", _capitalized(str(error)))
                written = False
            if self._directory.is_lost:
                self._current.published_until = None
            if not self._directory.is_written:
                return
            self._current.published_until = token.expires_at
            if self._reason is Reason.TARGET_NOT_WRITABLE:
                self._succeed()
            if written:
                logger.info(
                    "Wrote a token that expires at %s; next refresh at %s",
                    format_time(token.expires_at),
                    format_time(token.refresh_at),
                )
        if self._unannounced and self._current.token:
            self._unannounced = False
            self._renewed(self._current.token)

    def _fail(self, reason: Reason, message: str) -> None:
        self._reason, self._current.problem = reason, message

    def _succeed(self) -> None:
        self._reason, self._current.problem = Reason.SUCCEEDED, ""

    def _what_is_left(self) -> str:
        token = self._current.valid()
        if token is None:
            return "there is no valid token"
        return f"the current token expires at {format_time(token.expires_at)}"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
