"""What the reconcilers of all kinds share: one reconcile of one resource, and its report."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.api.group import Kind
from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.api.stored_status import StoredStatus
from pinecone_token_operator.backoff import retry_delay
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.controller.reconciler import Object, Resource
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import ObjectRef, SecretKey
from pinecone_token_operator.kube.interfaces import RequestsAndLists
from pinecone_token_operator.reconcilers.assignment import Assignment, FindRival, Requester
from pinecone_token_operator.reconcilers.cleanup import resource_exists
from pinecone_token_operator.reconcilers.outcome import Outcome
from pinecone_token_operator.reconcilers.predecessors import Predecessors
from pinecone_token_operator.reconcilers.refresh import MakeRefresher
from pinecone_token_operator.reconcilers.state import State
from pinecone_token_operator.reconcilers.status import Report, Status, invalid_status
from pinecone_token_operator.reconcilers.status_writer import Record, StatusWriter
from pinecone_token_operator.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class TokenResource(Requester, Protocol):
    """A resource that requests a token and reports on it."""

    @property
    def stored_status(self) -> StoredStatus:
        """The status that the API server has."""
        ...


R = TypeVar("R", bound=TokenResource)


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What a reconciler uses.

    Attributes:
        api: the API server; its write guard keeps a former leader from writing.
        index: the resources.
        metrics: what is measured.
        record: records Events.
        missed: called when a resource was replaced by one that the index does not have.
        requeue: queues a resource.
        env: the clocks and random numbers.
    """

    api: RequestsAndLists
    index: Index
    metrics: Metrics
    record: Record
    missed: Callable[[], None]
    requeue: Callable[[ObjectRef], None]
    env: Env


class TokenReconciler(ABC, Generic[R]):
    """Reconciles the resources of one kind.

    Args:
        uses: what it uses.
        make_refresher: makes the refresher, given how to check that a resource is still there.
    """

    kind: Kind
    resource_type: type[R]

    def __init__(self, uses: Collaborators, make_refresher: MakeRefresher) -> None:
        self._uses = uses
        self._refresher = make_refresher(is_wanted=uses.index.has, exists=self._exists)
        self._status_writer = StatusWriter(
            api=uses.api, kind=self.kind, record=uses.record, missed=uses.missed
        )
        self._states: dict[tuple[ObjectRef, str], State] = {}
        self._predecessors = Predecessors()

    # What differs by kind

    @abstractmethod
    def parse(self, obj: Object) -> R:
        """Read a resource; see `Reconciler.parse`."""

    @abstractmethod
    def _assign(self, resource: R, find_rival: FindRival) -> Assignment:
        """Return what a resource requests."""

    @abstractmethod
    def _make_report(self, assignment: Assignment, outcome: Outcome, now: datetime) -> Report:
        """Return what is reported of a resource."""

    @abstractmethod
    def removal(self, resource: Resource) -> Callable[[], Awaitable[None]] | None:
        """Return how to clean up after a deleted resource; see `Reconciler.removal`."""

    @abstractmethod
    async def find_orphans(
        self, namespace: str | None, living: Container[str]
    ) -> Mapping[SecretKey, Callable[[], Awaitable[None]]]:
        """Return how to clean up after missed deletions; see `Reconciler.find_orphans`."""

    # What the control loop calls

    async def reconcile(self, ref: ObjectRef) -> datetime | None:
        """Reconcile one resource; see `Reconciler.reconcile`."""
        resource = self._get(ref)
        if resource is None:
            return None
        state = self._state(resource)
        assignment = self._assign(resource, partial(self._uses.index.rival, resource))
        try:
            outcome = await self._refresher.refresh(assignment, state.known)
        except Exception as error:  # one resource must not stop the others
            logger.exception("Failed to reconcile", extra={"resource": ref})
            problem = Problem(
                Reason.INTERNAL_ERROR,
                f"the operator failed unexpectedly ({type(error).__name__}); check its logs",
            )
            outcome = self._refresher.fail(assignment, state.known, problem)
        if outcome is None or not self._uses.index.has(assignment.uid):
            self._forget_gone(resource)
            return None
        state.apply(outcome.known, self._uses.env.now())
        self._uses.metrics.reconciled(_result(outcome))
        wake_at = outcome.wake_at
        if await self._report(assignment, outcome, state):
            state.unwritten = 0
        else:
            retry_at = self._retry_status_at(state)
            wake_at = min(retry_at, wake_at) if wake_at else retry_at
        if not self._uses.index.has(assignment.uid):
            self._forget_gone(resource)
            return None
        return wake_at

    async def reject(self, obj: Object, message: str) -> None:
        """Report that a resource cannot be used; see `Reconciler.reject`."""
        metadata, env = obj["metadata"], self._uses.env
        ref = ObjectRef(self.kind.name, metadata.get("namespace") or "", metadata["name"])
        problem = Problem(Reason.RESOURCE_INVALID, message)
        state = State.of(StoredStatus(obj.get("status") or {}), metadata.get("generation", 0))

        def compute(previous: Status) -> dict[str, Any]:
            return invalid_status(problem, metadata.get("generation", 0), previous, env.now())

        await self._status_writer.write(ref, metadata["uid"], state, compute)

    def forget(self, resource: Resource) -> None:
        """Drop what is known of a resource that is gone."""
        self._drop_state(resource)
        self._uses.metrics.forget(resource.ref)

    def status_seen(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Take over the status that the API server has."""
        if isinstance(resource, self.resource_type):
            self._state(resource).stored_status.write(status)

    def urgency(self, ref: ObjectRef) -> tuple[float, ...]:
        """No token and no failure yet first, the newest resource foremost; then by expiry.

        What keeps failing without a token comes last: it must not hold up refreshes.
        """
        resource = self._get(ref)
        if resource is None:
            return (0.0,)
        metadata = resource.metadata
        state = self._states.get((ref, metadata.uid))
        times = state.known.times if state else None
        if times is not None:
            return (1.0, times.expires_at.timestamp())
        reported = parse_moment(resource.stored_status.read().get("expiresAt"))
        if reported is not None:
            return (1.0, reported.timestamp())
        has_failed = state is not None and bool(
            state.known.attempts.failures or state.stored_status.read().get("conditions")
        )
        return (2.0 if has_failed else 0.0, -metadata.creation_timestamp.timestamp())

    # One resource

    def _get(self, ref: ObjectRef) -> R | None:
        resource = self._uses.index.get(ref)
        return resource if isinstance(resource, self.resource_type) else None

    def _state(self, resource: R) -> State:
        # By UID, so that nothing of a resource is taken for another of the same name.
        identity = resource.ref, resource.metadata.uid
        if identity not in self._states:
            state = State.of(resource.stored_status, resource.metadata.generation)
            state.known = self._predecessors.hand_over(resource.ref, state.known)
            self._states[identity] = state
        return self._states[identity]

    def _drop_state(self, resource: Resource) -> None:
        state = self._states.pop((resource.ref, resource.metadata.uid), None)
        if state is not None:
            self._predecessors.add(resource.ref, state.known)

    def _forget_gone(self, resource: R) -> None:
        """Drop what a reconcile of a resource has left that was deleted meanwhile."""
        if self._uses.index.get(resource.ref) is None:
            self.forget(resource)
        else:
            self._drop_state(resource)

    async def _exists(self, assignment: Assignment) -> bool:
        """Ask whether a resource is there; a successor of it was missed."""
        ref = assignment.ref
        return await resource_exists(
            self._uses.api, self.kind, ref.namespace, ref.name, assignment.uid, self._uses.missed
        )

    async def _report(self, assignment: Assignment, outcome: Outcome, state: State) -> bool:
        """Write the status, record Events and set the metrics; return whether that worked."""
        ref, report = assignment.ref, self._make_report(assignment, outcome, self._uses.env.now())
        self._uses.metrics.token(ref, report.sample)
        trouble = outcome.known.trouble
        passing = trouble.problem and trouble.problem.reason is Reason.API_SERVER_ERROR
        if passing and trouble.failures == 1:
            return True  # one failed request is retried before it is reported
        try:
            await self._status_writer.write(ref, assignment.uid, state, report.status)
        except ApiError as error:
            logger.warning(
                "Failed to write the status (%s); retrying", error, extra={"resource": ref}
            )
            return False
        return True

    def _retry_status_at(self, state: State) -> datetime:
        """Count a failed write of the status, and return when to try again."""
        env = self._uses.env
        state.unwritten += 1
        remaining = state.known.remaining(env.now())
        return env.now() + retry_delay(state.unwritten, remaining, env.rng.random())


def _result(outcome: Outcome) -> str:
    problem = outcome.known.trouble.problem
    if problem is None:
        return "success"
    return "error" if problem.reason is Reason.INTERNAL_ERROR else "api_error"
