"""The second step of a refresh: write the targets that need it, or note why that failed."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.backoff import retry_delay
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError, WriteFailed
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.policies.input import TargetInput
from pinecone_token_operator.policies.target_chain import (
    TargetPlan,
    plan_target,
    repair_cause,
)
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.gather import CONCURRENT
from pinecone_token_operator.reconcilers.known_target import UNREAD, KnownTarget
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.targets.store import TargetStore
from pinecone_token_operator.targets.stored_token import StoredToken

# So many targets are written before an interruption counts, so that work is always done.
LEAST: Final = 64

logger = logging.getLogger(__name__)

_Planned = tuple[TargetInput, TargetPlan]
_Written = dict[SecretKey, tuple[KnownTarget, ApiError | None]]


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
        self,
        assignment: Assignment,
        known: Known,
        targets: Sequence[TargetInput],
        token: StoredToken | None,
    ) -> tuple[Known, Mapping[SecretKey, ApiError]]:
        """Write all targets that need it; also return which ones were not as they had been read.

        Args:
            assignment: what the resource requests.
            known: what is known of it.
            targets: what the decision about each target depends on.
            token: a token to deliver that the targets lack; None if there is none.
        """
        now, fraction = self._env.now(), self._env.rng.random()
        plans = []
        for target in targets:
            plan = plan_target(target, assignment.wanted, token, now, fraction)
            if plan.why:
                plans.append((target, plan))
        if len(plans) > 1:
            results = await self._write_several(assignment, known, plans)
        else:  # a task group costs more than a single write
            results = {
                given.spec.key: await self._write(assignment, known, given, plan)
                for given, plan in plans
            }
        written = {key: after for key, (after, _) in results.items()}
        if token is None:
            known = known.with_targets(written)
        else:
            known = known.with_delivered(
                assignment, written, token, keep=self._keep, now=self._env.now()
            )
        return known, {key: error for key, (_, error) in results.items() if error is not None}

    async def _write_several(
        self, assignment: Assignment, known: Known, plans: Sequence[_Planned]
    ) -> _Written:
        """Write targets concurrently, those without a token first, then by expiry."""
        results: _Written = {}
        waiting = iter(sorted(plans, key=_urgency))

        async def write() -> None:
            for given, plan in waiting:
                key = given.spec.key
                if len(results) >= LEAST and assignment.interrupted():
                    # What a repair takes from the target is not kept until then.
                    before = known.targets.get(key, UNREAD)
                    results[key] = (before.uncertain() if given.stored else before), None
                else:
                    results[key] = await self._write(assignment, known, given, plan)

        logger.info(
            "Writing %s Secrets: %s",
            len(plans),
            plans[0][1].why,
            extra={"resource": assignment.ref},
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(min(CONCURRENT, len(plans))):
                group.create_task(write())
        return results

    async def _write(
        self, assignment: Assignment, known: Known, given: TargetInput, plan: TargetPlan
    ) -> tuple[KnownTarget, ApiError | None]:
        spec = given.spec
        before = known.targets.get(spec.key, UNREAD)
        logger.log(
            logging.INFO if len(assignment.specs) == 1 else logging.DEBUG,
            "Writing Secret %s: %s",
            "/".join(spec.key),
            plan.why,
            extra={"resource": assignment.ref},
        )
        try:
            if plan.write is not None:
                delivery = await self._store.deliver(spec, given.target, plan.write)
            elif given.target is not None:
                delivery = await self._store.set_ownership(spec, given.target)
            else:
                raise AssertionError("nobody owns a target that does not exist")
        except WriteFailed as failure:
            problem = Problem(Reason.TARGET_NOT_WRITABLE, str(failure))
            # What the API server failed to write may have been stored.
            return self._delivery_failed(assignment, before.uncertain(), given, problem), None
        except ApiError as error:
            return before.uncertain(), error
        if delivery.altered:
            problem = Problem(Reason.TARGET_ALTERED, delivery.altered)
            after = replace(before, target=delivery.target, times=None).uncertain()
            return self._delivery_failed(assignment, after, given, problem), None
        after = before.written(spec, delivery, plan.write)
        if delivery.error is not None:
            return after.uncertain(), delivery.error
        if delivery.left_out:
            return self._incomplete(assignment, after, given, delivery.left_out), None
        if plan.contested:
            # Only what was stored: what is refused backs off by itself.
            cause = repair_cause(given)
            if before.spec not in (None, spec):
                cause = replace(cause, is_fight=False)
            after = replace(after, damping=after.damping.after(self._env.now(), cause))
        return after, None

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


def _urgency(planned: _Planned) -> float:
    given, _ = planned
    return given.times.expires_at.timestamp() if given.times else 0.0


def _basis(known: KnownTarget, given: TargetInput) -> object:
    """Return what the next write will be made with."""
    return replace(given, target=known.target).basis
