"""The first step of a refresh: have a token issued, or note why none was."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from pinecone_token_operator.api.conditions import Problem
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.failures import HANDLING, delay_after
from pinecone_token_operator.issuing.issuer import Issuer
from pinecone_token_operator.policies.input import NO_FAILURES, TokenInput
from pinecone_token_operator.policies.schedule import refresh_at
from pinecone_token_operator.policies.token_chain import TokenPlan, request_cause
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.gather import Reading
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.targets.stored_token import StoredToken

# A credentials Secret that changed while its token was requested is read again this soon.
_CREDENTIALS_RETRY: Final = timedelta(seconds=1)

logger = logging.getLogger(__name__)


class IssueStep:
    """Requests tokens.

    Args:
        issuer: issues tokens.
        observe_lateness: called with the seconds after its scheduled time that a refresh began.
        env: the clocks and random numbers.
    """

    def __init__(
        self,
        *,
        issuer: Issuer,
        observe_lateness: Callable[[float], None],
        env: Env,
    ) -> None:
        self._issuer = issuer
        self._observe_lateness = observe_lateness
        self._env = env

    async def issue(
        self, assignment: Assignment, reading: Reading, given: TokenInput, plan: TokenPlan
    ) -> Known:
        """Request a token; it is pending then, or the failure is noted with the time to retry.

        Args:
            assignment: what the resource requests.
            reading: the credentials, and what is known.
            given: what the decision about the token depended on.
            plan: the decision.
        """
        logger.info("Requesting a token: %s", plan.why, extra={"resource": assignment.ref})
        if plan.scheduled_at is not None:
            late = self._env.now() - plan.scheduled_at
            self._observe_lateness(max(0.0, late.total_seconds()))
        known, credentials = reading.known.without_new_token(), reading.credentials
        if credentials is None:
            return self._credentials_failed(assignment, known)
        remaining = given.times.expires_at - self._env.now() if given.times else timedelta()
        try:
            token = await self._issuer.issue(credentials, remaining, assignment.ref)
        except ExchangeError as error:
            return self._issue_failed(assignment, known, error)
        times = token.requested_at, token.expires_at, assignment.wanted.refresh_before
        pending = StoredToken(
            access_token=token.access_token,
            token_type=token.token_type,
            refreshed_at=token.requested_at,
            expires_at=token.expires_at,
            refresh_at=refresh_at(*times, self._env.rng.random()),
            credentials=str(known.credentials),
            request=assignment.wanted.request,
            source=reading.source,
        )
        damping = known.damping
        if plan.contested:
            # Only tokens that were issued: what fails backs off by itself.
            damping = damping.after(self._env.now(), request_cause(given, plan.why))
        return replace(known, pending=pending, attempts=NO_FAILURES, damping=damping)

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
