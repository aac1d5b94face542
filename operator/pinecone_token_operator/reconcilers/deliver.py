"""The second step of a refresh: write the targets that need it, or note why that failed."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.backoff import retry_delay
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError, WriteFailed
from pinecone_token_operator.policies.input import Attempts, TargetInput
from pinecone_token_operator.policies.plan import TargetPlan
from pinecone_token_operator.policies.target_chain import plan_target
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.state import Known, KnownTarget
from pinecone_token_operator.targets.store import TargetStore
from pinecone_token_operator.targets.stored_token import StoredToken

logger = logging.getLogger(__name__)


class DeliverStep:
    """Writes targets.

    Args:
        store: where tokens are stored.
        keep: how long after its issue a token is kept in memory, to restore a target that lost it.
        env: the clocks and random numbers.
    """

    def __init__(self, *, store: TargetStore, keep: timedelta, env: Env) -> None:
        self._store = store
        self._keep = keep
        self._env = env

    async def deliver(
        self, assignment: Assignment, known: Known, token: StoredToken | None, fraction: float
    ) -> tuple[Known, ApiError | None]:
        """Write all targets that need it; also return why one could not be written as it was."""
        now = self._env.now()
        plans = []
        for spec in assignment.specs:
            target = known.target_input(spec, assignment)
            plan = plan_target(target, assignment.wanted, token, now, fraction)
            if plan.why:
                plans.append((target, plan))
        if len(plans) == 1:  # a task group costs more than a single write
            results = [await self._write(assignment, known, *plans[0])]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._write(assignment, known, *one)) for one in plans]
            results = [task.result() for task in tasks]
        error = None
        for (target, _), (written, failure) in zip(plans, results, strict=True):
            known = known.with_target(target.spec.key, written)
            error = error or failure
        if token is not None:
            known = self._after_delivery(assignment, known, token)
        return known, error

    def _after_delivery(self, assignment: Assignment, known: Known, token: StoredToken) -> Known:
        delivered = all(
            known.targets.get(spec.key, KnownTarget()).times == token.times
            for spec in assignment.specs
        )
        if not delivered:
            return known
        known = replace(
            known,
            pending=None,
            cached=token,
            delivered=token.times,
            handled_request=token.request or known.handled_request,
        )
        return (
            known
            if known.cached_until(self._keep) > self._env.now()
            else replace(known, cached=None)
        )

    async def _write(
        self, assignment: Assignment, known: Known, given: TargetInput, plan: TargetPlan
    ) -> tuple[KnownTarget, ApiError | None]:
        spec = given.spec
        before = known.targets.get(spec.key, KnownTarget())
        now = self._env.now()
        logger.info(
            "Writing Secret %s: %s",
            "/".join(spec.key),
            plan.why,
            extra={"resource": assignment.ref},
        )
        if plan.contested:
            before = replace(before, damping=before.damping.after(now))
        try:
            if plan.write is None:
                after = before
            else:
                delivery = await self._store.deliver(spec, given.target, plan.write)
                if delivery.altered:
                    problem = Problem(Reason.TARGET_ALTERED, delivery.altered)
                    after = replace(before, target=delivery.target, times=None).uncertain()
                    return self._delivery_failed(assignment, after, given, problem), None
                after = replace(
                    before,
                    target=delivery.target,
                    stored=plan.write,
                    times=plan.write.times,
                    had_token=True,
                    attempts=Attempts(),
                    repairs=Attempts(),
                )
                if delivery.left_out:
                    after = self._incomplete(assignment, after, given, delivery.left_out)
        except WriteFailed as failure:
            return self._write_failed(assignment, before, given, failure), None
        except ApiError as error:
            return before.uncertain(), error
        return await self._with_ownership(assignment, after, given)

    async def _with_ownership(
        self, assignment: Assignment, known: KnownTarget, given: TargetInput
    ) -> tuple[KnownTarget, ApiError | None]:
        """Set who deletes the token: apart from it, so that a refusal does not hold it up."""
        if known.target is None:
            return known, None
        try:
            target = await self._store.set_ownership(given.spec, known.target)
        except WriteFailed as failure:
            return self._incomplete(assignment, known, given, str(failure)), None
        except ApiError as error:
            return known.uncertain(), error
        return replace(known, target=target), None

    def _write_failed(
        self, assignment: Assignment, known: KnownTarget, given: TargetInput, failure: WriteFailed
    ) -> KnownTarget:
        problem = Problem(Reason.TARGET_NOT_WRITABLE, str(failure))
        # What the API server failed to write may have been stored.
        return self._delivery_failed(assignment, known.uncertain(), given, problem)

    def _delivery_failed(
        self, assignment: Assignment, known: KnownTarget, given: TargetInput, problem: Problem
    ) -> KnownTarget:
        now = self._env.now()
        remaining = known.times.expires_at - now if known.times else timedelta()
        delay = retry_delay(known.attempts.failures + 1, remaining, self._env.rng.random())
        logger.warning("%s", problem.message, extra={"resource": assignment.ref})
        attempts = known.attempts.failed(problem, now + delay, _basis(known, given))
        return replace(known, attempts=attempts)

    def _incomplete(
        self, assignment: Assignment, known: KnownTarget, given: TargetInput, message: str
    ) -> KnownTarget:
        """Note that something else than the token was refused; it is retried, ever more rarely."""
        problem = Problem(Reason.TARGET_INCOMPLETE, message)
        before = given.repairs
        delay = retry_delay(
            before.failures + 1, timedelta(days=1), 0.5 + self._env.rng.random() / 2
        )
        if before.problem != problem:
            logger.warning("%s", message, extra={"resource": assignment.ref})
        retry_at = self._env.now() + delay
        return replace(known, repairs=before.failed(problem, retry_at, _basis(known, given)))


def _basis(known: KnownTarget, given: TargetInput) -> object:
    """Return what the next write will be made with."""
    return replace(given, target=known.target).basis
