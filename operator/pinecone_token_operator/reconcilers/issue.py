"""The first step of a refresh: have a token issued, or note why none was."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from pinecone_token_operator.api.conditions import Problem
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.failures import HANDLING, delay_after
from pinecone_token_operator.issuing.issuer import Issuer
from pinecone_token_operator.policies.input import NO_FAILURES
from pinecone_token_operator.policies.schedule import refresh_at
from pinecone_token_operator.policies.token_chain import TokenPlan, request_cause
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.gather import Gatherer, Reading
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.targets.stored_token import StoredToken

# A credentials Secret that changed while its token was requested is read again this soon.
_CREDENTIALS_RETRY: Final = timedelta(seconds=1)

logger = logging.getLogger(__name__)


class IssueStep:
    """Requests tokens.

    Args:
        gatherer: reads the credentials, if they were not read yet.
        issuer: issues tokens.
        observe_lateness: called with the seconds after its scheduled time that a refresh began.
        env: the clocks and random numbers.
    """

    def __init__(
        self,
        *,
        gatherer: Gatherer,
        issuer: Issuer,
        observe_lateness: Callable[[float], None],
        env: Env,
    ) -> None:
        self._gatherer = gatherer
        self._issuer = issuer
        self._observe_lateness = observe_lateness
        self._env = env

    async def issue(self, assignment: Assignment, reading: Reading, plan: TokenPlan) -> Known:
        """Request a token; it is pending then, or the failure is noted with the time to retry."""
        logger.info("Requesting a token: %s", plan.why, extra={"resource": assignment.ref})
        if plan.scheduled_at is not None:
            late = self._env.now() - plan.scheduled_at
            self._observe_lateness(max(0.0, late.total_seconds()))
        known = reading.known.without_new_token()
        read = reading
        if reading.credentials is None:
            read = await self._gatherer.read_credentials(assignment, known)
            known = read.known
        if read.credentials is None:
            return self._credentials_failed(assignment, known)
        try:
            known = await self._request(assignment, known, read.credentials, read.source)
        except ExchangeError as error:
            return self._issue_failed(assignment, known, error)
        if plan.contested:
            # Only tokens that were issued: what fails backs off by itself.
            cause = request_cause(reading.known.token_input(assignment), plan.why)
            known = replace(known, damping=known.damping.after(self._env.now(), cause))
        return known

    async def _request(
        self,
        assignment: Assignment,
        known: Known,
        credentials: Credentials,
        source: str,
    ) -> Known:
        remaining = known.remaining(self._env.now())
        token = await self._issuer.issue(credentials, remaining, assignment.ref)
        times = token.requested_at, token.expires_at, assignment.wanted.refresh_before
        pending = StoredToken(
            access_token=token.access_token,
            token_type=token.token_type,
            refreshed_at=token.requested_at,
            expires_at=token.expires_at,
            refresh_at=refresh_at(*times, self._env.rng.random()),
            credentials=str(known.credentials),
            request=assignment.wanted.request,
            source=source,
        )
        return replace(known, pending=pending, attempts=NO_FAILURES)

    def _credentials_failed(self, assignment: Assignment, known: Known) -> Known:
        problem = known.credentials
        if isinstance(problem, str):
            raise AssertionError("the credentials are usable")  # noqa: TRY004 - no wrong type
        retry_at = self._env.now() + _CREDENTIALS_RETRY
        return self._failed(assignment, known, problem, retry_at)

    def _issue_failed(self, assignment: Assignment, known: Known, error: ExchangeError) -> Known:
        now = self._env.now()
        handling = HANDLING[error.failure]
        failures = known.attempts.failures + 1
        delay = delay_after(error, failures, known.remaining(now), self._env.rng.random())
        advice = handling.advice.format(secret="/".join(assignment.credentials_key))
        problem = Problem(handling.reason, f"{error}; {advice}" if advice else str(error))
        held_back = error.failure is ExchangeFailure.THROTTLED and error.http_status is None
        known = self._failed(assignment, known, problem, now + delay, counts=not held_back)
        return replace(known, attempts=replace(known.attempts, hold=error.hold))

    def _failed(
        self,
        assignment: Assignment,
        known: Known,
        problem: Problem,
        retry_at: datetime,
        *,
        counts: bool = True,
    ) -> Known:
        basis = known.token_input(assignment).basis
        attempts = known.attempts.failed(problem, retry_at, basis)
        if counts:
            logger.warning("%s", problem.message, extra={"resource": assignment.ref})
        else:
            attempts = replace(attempts, failures=known.attempts.failures)
        return replace(known, attempts=attempts)
