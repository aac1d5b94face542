"""What is known of one resource between two reconciles; losing it costs reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pinecone_token_operator.api.conditions import REFRESHED, Problem, Reason
from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.api.stored_status import StoredStatus
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.policies.contention import UNDAMPED, Damping
from pinecone_token_operator.policies.input import (
    NO_FAILURES,
    UNKNOWN_BASIS,
    Attempts,
    TargetInput,
    TokenInput,
)
from pinecone_token_operator.policies.target_chain import is_deliverable
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.known_target import UNREAD, KnownTarget
from pinecone_token_operator.targets.secret import TargetSpec
from pinecone_token_operator.targets.stored_token import StoredToken, TokenTimes

_NO_CREDENTIALS = Problem(Reason.API_SERVER_ERROR, "the credentials were not read yet")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one resource, as one value that each step of a reconcile replaces.

    Attributes:
        generation: of the spec that the rest belongs to.
        credentials: the fingerprint of the credentials, or why there are none.
        credentials_version: the resourceVersion of the Secret that they were read from; None if
            they have to be read.
        credentials_writer: the field manager that changed that Secret last; empty if unknown.
        unusable_since: since when the credentials cannot be used, if they can't.
        pending: a token that was issued and could not be written yet.
        cached: the token that was written last, where it is kept to restore a target.
        delivered: the times of the token that was written last.
        handled_request: the latest requested refresh that was served.
        had_token: whether a target held a token that is not one any more.
        recreated: whether a resource of this name was deleted shortly before.
        attempts: which token requests failed lately.
        damping: unscheduled token requests that another writer caused.
        trouble: which reconciles failed lately because of the API server or a bug.
        targets: what is known of each target.
    """

    generation: int = -1
    credentials: str | Problem = _NO_CREDENTIALS
    credentials_version: str | None = None
    credentials_writer: str = ""
    unusable_since: datetime | None = None
    pending: StoredToken | None = None
    cached: StoredToken | None = None
    delivered: TokenTimes | None = None
    handled_request: str = ""
    had_token: bool = False
    recreated: bool = False
    attempts: Attempts = NO_FAILURES
    damping: Damping = UNDAMPED
    trouble: Attempts = NO_FAILURES
    targets: Mapping[SecretKey, KnownTarget] = field(default_factory=dict)

    @property
    def times(self) -> TokenTimes | None:
        """Return the times of the newest intact token in a target."""
        found = [known.times for known in self.targets.values() if known.times]
        return max(found, key=lambda times: times.expires_at, default=None)

    def without_new_token(self) -> "Known":
        """Return the same without a pending token that no target holds yet.

        One that some target holds stays: others that lack it do not wait for the next one.
        """
        if self.pending is None or self.pending.times == self.times:
            return self
        return replace(self, pending=None)

    def with_targets(self, targets: Mapping[SecretKey, KnownTarget]) -> "Known":
        """Return the same with another knowledge of some targets."""
        return replace(self, targets={**self.targets, **targets})

    def with_delivered(
        self,
        assignment: Assignment,
        written: Mapping[SecretKey, KnownTarget],
        token: StoredToken,
        *,
        keep: timedelta,
        now: datetime,
    ) -> "Known":
        """Return the same after a token was written to the targets.

        A target that cannot be written gets the token from another one, once it can be. If others
        are still to be written, only the request that the token has served is noted.

        Args:
            assignment: what the resource requests.
            written: what is known of those targets now.
            token: the token.
            keep: how long after its issue it is kept in memory.
            now: the time.
        """
        targets = {**self.targets, **written}
        known = replace(self, targets=targets)
        lacking = [
            spec for spec in assignment.specs if targets.get(spec.key, UNREAD).times != token.times
        ]
        if len(lacking) == len(assignment.specs):
            return known
        handled = token.request or self.handled_request
        if any(is_deliverable(known.target_input(spec, assignment)) for spec in lacking):
            return replace(known, handled_request=handled)
        times = token.times
        known = replace(known, pending=None, cached=token, delivered=times, handled_request=handled)
        return known if known.cached_until(keep) > now else replace(known, cached=None)

    def remaining(self, now: datetime) -> timedelta:
        """Return the remaining lifetime of the current token; zero or less without a valid one."""
        return self.times.expires_at - now if self.times else timedelta()

    def cached_until(self, keep: timedelta) -> datetime:
        """Return until when the cached token is kept.

        Where another writer changes or removes what is written, the token verifies what is stored
        and restores it without another token request, as long as it is valid.

        Args:
            keep: how long after its issue it is kept otherwise.
        """
        token = self.cached
        if token is None:
            raise AssertionError("no token is cached")
        disputed = any(
            one.repairs.problem is not None or one.damping.count > 1
            for one in self.targets.values()
        )
        return token.expires_at if disputed else token.refreshed_at + keep

    def inputs(self, assignment: Assignment) -> tuple[TokenInput, Sequence[TargetInput]]:
        """Return what the decisions about the token and about each target depend on."""
        targets = [self.target_input(spec, assignment) for spec in assignment.specs]
        writers = [known.target.writer for known in self.targets.values() if known.target]
        times = self.times
        token = TokenInput(
            wanted=assignment.wanted,
            credentials=self.credentials,
            times=times,
            pending=self.pending,
            cached=self.cached,
            delivered=self.delivered,
            reverted=_is_reverted(times, self.delivered),
            handled_request=self.handled_request,
            attempts=self.attempts,
            damping=self.damping,
            deliverable=any(is_deliverable(one) for one in targets),
            had_token=self.had_token or any(known.had_token for known in self.targets.values()),
            recreated=self.recreated and self.delivered is None,
            writer=writers[0] if writers else "",
            credentials_writer=self.credentials_writer,
            unusable_since=self.unusable_since,
        )
        return token, targets

    def token_input(self, assignment: Assignment) -> TokenInput:
        """Return what the decision about the token depends on."""
        token, _ = self.inputs(assignment)
        return token

    def target_input(self, spec: TargetSpec, assignment: Assignment) -> TargetInput:
        """Return what the decision about one target depends on."""
        known = self.targets.get(spec.key, UNREAD)
        owner_uid = known.target.owner_uid if known.target else None
        return TargetInput(
            spec=spec,
            target=known.target,
            stored=known.stored,
            times=known.times,
            rival=assignment.find_rival(spec.key, owner_uid),
            unreadable=known.unreadable,
            had_token=known.had_token,
            reverted=_is_reverted(known.times, known.delivered or self.delivered),
            attempts=known.attempts,
            repairs=known.repairs,
            damping=known.damping,
        )

    def lagging(self, assignment: Assignment, now: datetime) -> bool:
        """Return whether one of several targets can get the newest token from another, and now."""
        times = self.times
        if self.pending or times is None or times.expires_at <= now:
            return False
        for spec in assignment.specs:
            if self.targets.get(spec.key, UNREAD).times != times:
                given = self.target_input(spec, assignment)
                blocked_until = given.delivery_blocked_until
                if is_deliverable(given) and (blocked_until is None or blocked_until <= now):
                    return not assignment.wanted.suspend
        return False

    def settled(self, now: datetime) -> "Known":
        """Return what may be kept between reconciles; no secret but pending and cached tokens."""
        # Of several targets, each is read again by itself, if it has to be.
        keep = len(self.targets) > 1 or not (
            isinstance(self.credentials, Problem) or self.attempts.problem or self.trouble.problem
        )
        return replace(
            self, targets={key: one.settled(now, keep=keep) for key, one in self.targets.items()}
        )


@dataclass(slots=True)
class State:
    """One resource's state; only its reconciler changes it.

    Attributes:
        known: what is known of the resource; changed by `apply`.
        stored_status: the status that the API server has; the resource shares it.
        unwritten: how many writes of the status have failed in a row.
    """

    known: Known
    stored_status: StoredStatus
    unwritten: int = 0

    @classmethod
    def of(cls, stored_status: StoredStatus, generation: int) -> "State":
        """Return what a status says about earlier reconciles, for example before a restart.

        Args:
            stored_status: the status that the API server has.
            generation: the resource's; what failed with an earlier one is not waited for.
        """
        status = stored_status.read()
        failures = status.get("failedAttempts") or 0
        attempts = NO_FAILURES
        # What a rate limit held back was no attempt, and has to wait all the same.
        problem = _reported_problem(status)
        if failures or (problem is not None and problem.reason is Reason.THROTTLED):
            current = status.get("observedGeneration") == generation
            retry_at = _reported_retry_at(status) if current else None
            attempts = Attempts(failures, retry_at, problem, UNKNOWN_BASIS)
        handled = str(status.get("lastHandledRefreshRequest") or "")
        return cls(Known(attempts=attempts, handled_request=handled), stored_status)

    def apply(self, known: Known, now: datetime) -> None:
        """Take over what a reconcile has found and done."""
        self.known = known.settled(now)


def _is_reverted(times: TokenTimes | None, delivered: TokenTimes | None) -> bool:
    """Return whether a token is older than the one that was written last."""
    return bool(times and delivered and times.refreshed_at < delivered.refreshed_at)


def _reported_retry_at(status: Mapping[str, Any]) -> datetime | None:
    """Return when a status says that the next attempt is.

    Not after a rejection: the credentials may have been corrected since, which nothing records.
    """
    problem, text = _reported_problem(status), status.get("refreshAt")
    if problem is None or problem.reason is Reason.REJECTED:
        return None
    return parse_moment(text)


def _reported_problem(status: Mapping[str, Any]) -> Problem | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == REFRESHED and condition.get("status") == "False":
            try:
                return Problem(Reason(condition["reason"]), condition["message"])
            except (KeyError, ValueError):
                return None
    return None
