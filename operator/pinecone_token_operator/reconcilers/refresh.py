"""One refresh of one resource: gather, plan, apply. The same for every kind."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, Protocol

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.backoff import retry_delay
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.policies.input import NO_FAILURES
from pinecone_token_operator.policies.token_chain import plan_token
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.deliver import DeliverStep
from pinecone_token_operator.reconcilers.gather import Gatherer, read_problem
from pinecone_token_operator.reconcilers.issue import IssueStep
from pinecone_token_operator.reconcilers.known_target import UNREAD
from pinecone_token_operator.reconcilers.outcome import Outcome, evaluate
from pinecone_token_operator.reconcilers.state import Known

# Another writer wrote between our read and our write; it is read again, but not forever.
_TRIES: Final = 4


class MakeRefresher(Protocol):
    """Makes a refresher for the resources of one kind."""

    def __call__(
        self,
        *,
        is_wanted: Callable[[str], bool],
        exists: Callable[[Assignment], Awaitable[bool]],
    ) -> "Refresher":
        """Return a refresher; see `Refresher` for the arguments."""
        ...


class Refresher:
    """Refreshes a resource's token and writes its targets.

    Args:
        gatherer: reads what a decision depends on.
        issue: has tokens issued.
        deliver: writes targets.
        is_wanted: whether a resource with this UID exists as far as the watches have reported.
        exists: asks the API server whether it does.
        keep: how long after its issue a token is kept in memory, to restore a target that lost it.
        env: the clocks and random numbers.
    """

    def __init__(
        self,
        *,
        gatherer: Gatherer,
        issue: IssueStep,
        deliver: DeliverStep,
        is_wanted: Callable[[str], bool],
        exists: Callable[[Assignment], Awaitable[bool]],
        keep: timedelta,
        env: Env,
    ) -> None:
        self._gatherer = gatherer
        self._issue = issue
        self._deliver = deliver
        self._is_wanted = is_wanted
        self._exists = exists
        self._keep = keep
        self._env = env

    async def refresh(self, assignment: Assignment, known: Known) -> Outcome | None:
        """Do what is due now, and return what is true then; None if the resource is gone.

        What fails is in it, with the time to retry.
        """
        error: ApiError | None = None
        failed: dict[SecretKey, ApiError] = {}
        known = self._without_what_is_over(known)
        for _ in range(_TRIES):
            reading = await self._gatherer.gather(assignment, known)
            known, error, failed = reading.known, reading.error, dict(reading.failed)
            if not self._is_wanted(assignment.uid):
                return None
            given, targets = known.inputs(assignment)
            plan = plan_token(given, self._env.now())
            acts = bool(plan.why or plan.deliver)
            try:
                if acts and _has_vanished(known) and not await self._exists(assignment):
                    return None
            except ApiError as failure:
                error = failure
                break
            if plan.outdated:
                known = replace(known, attempts=NO_FAILURES)
            if plan.why:
                if reading.credentials is None:
                    reading = await self._gatherer.read_credentials(assignment, known)
                known = await self._issue.issue(assignment, reading, given, plan)
            if not self._is_wanted(assignment.uid):
                return None
            token = plan.deliver or (known.pending if plan.why else None)
            known, changed = await self._deliver.deliver(assignment, known, targets, token)
            failed |= changed
            if not any(each.conflict or each.not_found for each in changed.values()):
                break
        return self._evaluate(assignment, self._noted(assignment, known, failed, error))

    def fail(self, assignment: Assignment, known: Known, problem: Problem) -> Outcome:
        """Return what is true after a reconcile failed for a reason that is not the resource's."""
        return self._evaluate(assignment, self._failed(known, problem))

    def _without_what_is_over(self, known: Known) -> Known:
        """Return what is known without a wait and a cached token whose time is over."""
        if known.attempts.hold is not None:
            known = replace(known, attempts=known.attempts.resumed())
        if known.cached and known.cached_until(self._keep) <= self._env.now():
            known = replace(known, cached=None)
        return known

    def _evaluate(self, assignment: Assignment, known: Known) -> Outcome:
        fraction = self._env.rng.random()
        return evaluate(assignment, known, self._env.now(), fraction=fraction, keep=self._keep)

    def _noted(
        self,
        assignment: Assignment,
        known: Known,
        failed: Mapping[SecretKey, ApiError],
        error: ApiError | None,
    ) -> Known:
        """Return what is known with the requests that failed: of some targets, or of all."""
        if failed and len(failed) < len(assignment.specs):
            return self._with_trouble(self._isolated(assignment, known, failed), error)
        return self._with_trouble(known, next(iter(failed.values()), error))

    def _isolated(
        self, assignment: Assignment, known: Known, failed: Mapping[SecretKey, ApiError]
    ) -> Known:
        """Retry the targets that failed by themselves: the others must not wait for them."""
        now, found = self._env.now(), {}
        for spec in assignment.specs:
            error = failed.get(spec.key)
            if error is None:
                continue
            one = known.targets.get(spec.key, UNREAD)
            remaining = one.times.expires_at - now if one.times else timedelta()
            delay = retry_delay(one.attempts.failures + 1, remaining, self._env.rng.random())
            problem = one.unreadable or read_problem(error, spec.key)
            basis = spec, one.target.uid if one.target else None
            attempts = one.attempts.failed(problem, now + delay, basis)
            found[spec.key] = replace(one.uncertain(), attempts=attempts, read_at=now + delay)
        return known.with_targets(found)

    def _with_trouble(self, known: Known, error: ApiError | None) -> Known:
        if error is None:
            return replace(known, trouble=NO_FAILURES) if known.trouble.failures else known
        if error.forbidden:
            problem = Problem(
                Reason.ACCESS_DENIED,
                f"the operator's ServiceAccount lacks a permission ({error.brief}); check its Role "
                "or ClusterRole and their bindings",
            )
        else:
            message = f"the API server failed a request ({error.brief}); retrying"
            problem = Problem(Reason.API_SERVER_ERROR, message)
        return self._failed(known, problem)

    def _failed(self, known: Known, problem: Problem) -> Known:
        now = self._env.now()
        failures = known.trouble.failures + 1
        delay = retry_delay(failures, known.remaining(now), self._env.rng.random())
        return replace(known, trouble=known.trouble.failed(problem, now + delay, None))


def _has_vanished(known: Known) -> bool:
    """Return whether a target that held a token is gone: so may be its resource."""
    return any(
        one.target is None and one.had_token and one.unreadable is None
        for one in known.targets.values()
    )
