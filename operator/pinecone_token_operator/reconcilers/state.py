"""What is remembered of one resource between two looks at it; losing it costs reads only."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.policies.observed import Attempts, Observed, Problem
from pinecone_token_operator.targets.target import StoredToken, Target, TokenTimes, times_of

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Memory:
    """One resource's memory.

    It holds no secret, but for a token that waits to be written and, where that is set, the last
    one that was.

    Attributes:
        status: the status that the API server has.
        generation: of the spec that the rest belongs to.
        target: the target as it was read or written last; its data only during a look.
        had_target: whether a token was in the target at an earlier look.
        times: the times of the token in it, if they were proven.
        credentials_version: the resourceVersion of the credentials Secret as it was read last.
        credentials: the fingerprint of what it held.
        unusable_since: since when it held nothing that can be used, if it doesn't.
        in_hand: a token that was fetched and could not be written yet.
        kept: the one that was written last, if it is to be put back should it get lost.
        attempts: what failed lately.
    """

    status: Mapping[str, Any]
    generation: int = -1
    target: Target | None = None
    had_target: bool = False
    times: TokenTimes | None = None
    credentials_version: str | None = None
    credentials: str | None = None
    unusable_since: datetime | None = None
    in_hand: StoredToken | None = None
    kept: StoredToken | None = None
    attempts: Attempts = field(default_factory=Attempts)

    @classmethod
    def of(cls, resource: PineconeAccessToken) -> "Memory":
        """Return what the status of a resource tells of earlier looks, before a restart say."""
        failures = resource.status.get("failedAttempts") or 0
        problem = _problem_told(resource.status) if failures else None
        return cls(resource.status, attempts=Attempts(failures, None, problem))

    def written(self, target: Target, token: StoredToken) -> None:
        """Remember that a token is in the target now."""
        problem = self.attempts.problem
        # A mere repair says nothing about the exchange that may have failed lately.
        if token is self.in_hand or (problem and problem.reason is Reason.TARGET_NOT_WRITABLE):
            self.attempts = Attempts()
        self.target = target.without_data()
        self.had_target = True
        self.times = times_of(token)
        self.in_hand = None

    def failed(self, observed: Observed, problem: Problem, retry_at: datetime) -> None:
        """Count a failure."""
        self.attempts = replace(self.attempts, failures=self.attempts.failures + 1)
        self.wait(observed, problem, retry_at)
        logger.warning("%s", problem.message, extra={"resource": observed.resource.key})

    def wait(self, observed: Observed, problem: Problem, retry_at: datetime) -> None:
        """Make no attempt before that time, as long as nothing else changes."""
        # The credentials may have been read again since the observation.
        basis = replace(observed, credentials=self.credentials or observed.credentials).basis
        self.attempts = Attempts(self.attempts.failures, retry_at, problem, basis)


def _problem_told(status: Mapping[str, Any]) -> Problem | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Refreshed" and condition.get("status") == "False":
            try:
                return Problem(Reason(condition["reason"]), condition["message"])
            except (KeyError, ValueError):
                return None
    return None
