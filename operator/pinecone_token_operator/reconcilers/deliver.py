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
from pinecone_token_operator.policies.input import NO_FAILURES, TargetInput
from pinecone_token_operator.policies.target_chain import (
    TargetPlan,
    is_deliverable,
    plan_target,
    repair_cause,
)
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.gather import CONCURRENT
from pinecone_token_operator.reconcilers.state import UNREAD, Known, KnownTarget
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
        if len(plans) == 1:  # a task group costs more than a single write
            key = plans[0][0].spec.key
            results = {key: await self._write(assignment, known, *plans[0])}
        else:
            results = await self._write_several(assignment, known, plans)
        known = known.with_targets({key: written for key, (written, _) in results.items()})
        if token is not None:
            known = self._after_delivery(assignment, known, token)
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

        if plans:
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

    def _after_delivery(self, assignment: Assignment, known: Known, token: StoredToken) -> Known:
        """Note that all targets hold the token that can, or which request it has served if some do.

        A target that cannot be written gets the token from another one, once it can be.
        """
        lacking = [
            spec
            for spec in assignment.specs
            if known.targets.get(spec.key, UNREAD).times != token.times
        ]
        if len(lacking) == len(assignment.specs):
            return known
        if any(is_deliverable(known.target_input(spec, assignment)) for spec in lacking):
            return replace(known, handled_request=token.request or known.handled_request)
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
        before = known.targets.get(spec.key, UNREAD)
        left_out = ""
        logger.log(
            logging.INFO if len(assignment.specs) == 1 else logging.DEBUG,
            "Writing Secret %s: %s",
            "/".join(spec.key),
            plan.why,
            extra={"resource": assignment.ref},
        )
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
                    attempts=NO_FAILURES,
                    repairs=NO_FAILURES,
                    delivered=plan.write.times,
                    spec=spec,
                    missing=False,
                )
                left_out = delivery.left_out
        except WriteFailed as failure:
            return self._write_failed(assignment, before, given, failure), None
        except ApiError as error:
            return before.uncertain(), error
        after, refused, failed = await self._with_ownership(after, given)
        if failed is not None:
            return after, failed
        if left_out or refused:
            message = "; ".join(one for one in (left_out, refused) if one)
            return self._incomplete(assignment, after, given, message), None
        if plan.contested:
            # Only what was stored: what is refused backs off by itself.
            cause = repair_cause(given)
            if before.spec not in (None, spec):
                cause = replace(cause, is_fight=False)
            after = replace(after, damping=after.damping.after(self._env.now(), cause))
        return replace(after, repairs=NO_FAILURES), None

    async def _with_ownership(
        self, known: KnownTarget, given: TargetInput
    ) -> tuple[KnownTarget, str, ApiError | None]:
        """Set who deletes the token: apart from it, so that a refusal does not hold it up.

        Also return what was refused, and why the target is not as it had been read.
        """
        if known.target is None:
            return known, "", None
        try:
            delivery = await self._store.set_ownership(given.spec, known.target)
        except WriteFailed as failure:
            return known, str(failure), None
        except ApiError as error:
            return known.uncertain(), "", error
        return replace(known, target=delivery.target), delivery.left_out, None

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


def _urgency(planned: _Planned) -> float:
    given, _ = planned
    return given.times.expires_at.timestamp() if given.times else 0.0


def _basis(known: KnownTarget, given: TargetInput) -> object:
    """Return what the next write will be made with."""
    return replace(given, target=known.target).basis
