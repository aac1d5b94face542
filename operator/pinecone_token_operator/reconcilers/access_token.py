"""Reconciles PineconeAccessTokens: one resource, one target in its own namespace."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from pinecone_token_operator.api.access_token import KIND, PineconeAccessToken, parse_resource
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.controller.reconciler import Object, Resource
from pinecone_token_operator.controller.relist import api_resource
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import ObjectRef, SecretKey
from pinecone_token_operator.kube.interfaces import RequestsAndLists
from pinecone_token_operator.kube.media_types import JSON_PATCH
from pinecone_token_operator.policies.input import Wanted
from pinecone_token_operator.policies.readiness import find_unready, token_in
from pinecone_token_operator.reconcilers.assignment import Assignment, FindRival
from pinecone_token_operator.reconcilers.cleanup import MergeCleanup, resource_exists
from pinecone_token_operator.reconcilers.events import Transition, find_transitions
from pinecone_token_operator.reconcilers.outcome import Outcome
from pinecone_token_operator.reconcilers.refresh import MakeRefresher
from pinecone_token_operator.reconcilers.state import State
from pinecone_token_operator.reconcilers.status import (
    Status,
    compute_status,
    find_not_refreshed,
    invalid_status,
    reason_of,
    status_patch,
)
from pinecone_token_operator.targets.secret import TargetSpec
from pinecone_token_operator.targets.target import Owner
from pinecone_token_operator.telemetry.metrics import Metrics, TokenSample

# Another controller may have changed the status since it was read.
_STATUS_TRIES: Final = 3

logger = logging.getLogger(__name__)

Record = Callable[[ObjectRef, str, Transition], None]
"""Records an Event about a resource, given its UID; must not block."""


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What the reconciler uses.

    Attributes:
        api: the API server; its write guard keeps a former leader from writing.
        index: the resources.
        metrics: what is measured.
        record: records Events.
        missed: called when a resource was replaced by one that the index does not have.
        env: the clocks and random numbers.
    """

    api: RequestsAndLists
    index: Index
    metrics: Metrics
    record: Record
    missed: Callable[[], None]
    env: Env


class AccessTokenReconciler:
    """Reconciles PineconeAccessTokens.

    Args:
        uses: what it uses.
        make_refresher: makes the refresher, given how to check that a resource is still there.
    """

    kind = KIND

    def __init__(self, uses: Collaborators, make_refresher: MakeRefresher) -> None:
        self._uses = uses
        self._cleanup = MergeCleanup(api=uses.api, kind=KIND)
        self._refresher = make_refresher(is_wanted=self._is_wanted, exists=self._exists)
        self._states: dict[tuple[ObjectRef, str], State] = {}

    # What the control loop calls

    def parse(self, obj: Object) -> PineconeAccessToken:
        """Read a resource; see `Reconciler.parse`."""
        return parse_resource(obj)

    async def reconcile(self, ref: ObjectRef) -> datetime | None:
        """Reconcile one resource; see `Reconciler.reconcile`."""
        resource = self._get(ref)
        if resource is None:
            return None
        state = self._state(resource)
        assignment = assign(resource, partial(self._uses.index.rival, resource))
        before = state.known
        try:
            known = await self._refresher.refresh(assignment, before)
        except Exception as error:  # one resource must not stop the others
            logger.exception("Failed to reconcile", extra={"resource": ref})
            known = self._refresher.with_trouble(
                before,
                Problem(
                    Reason.INTERNAL_ERROR,
                    f"the operator failed unexpectedly ({type(error).__name__}); check its logs",
                ),
            )
        if known is None or not self._is_wanted(assignment):
            self._forget_gone(resource)
            return None
        state.apply(known, self._uses.env.now())
        outcome = self._refresher.evaluate(assignment, known)
        self._uses.metrics.reconciled(_result(outcome))
        if not await self._report(resource, assignment, outcome, state):
            known = self._refresher.with_trouble(known, _STATUS_NOT_WRITTEN)
            state.apply(known, self._uses.env.now())
            outcome = self._refresher.evaluate(assignment, known)
        if not self._is_wanted(assignment):
            self._forget_gone(resource)
            return None
        return outcome.wake_at

    async def reject(self, obj: Object, message: str) -> None:
        """Report that a resource cannot be used; see `Reconciler.reject`."""
        metadata, env = obj["metadata"], self._uses.env
        ref = ObjectRef(KIND.name, metadata["namespace"], metadata["name"])
        problem = Problem(Reason.RESOURCE_INVALID, message)
        state = State.of(obj.get("status") or {}, metadata.get("generation", 0))

        def compute(previous: Status) -> dict[str, Any]:
            return invalid_status(problem, metadata.get("generation", 0), previous, env.now())

        await self._write_status(ref, metadata["uid"], state, compute)

    def forget(self, resource: Resource) -> None:
        """Drop what is known of a resource that is gone."""
        self._states.pop((resource.ref, resource.metadata.uid), None)
        self._uses.metrics.forget(resource.ref)

    def removal(self, resource: Resource) -> Callable[[], Awaitable[None]] | None:
        """Return how to clean up after a deleted resource; see `Reconciler.removal`."""
        if not isinstance(resource, PineconeAccessToken) or not _merges_and_deletes(resource):
            return None
        uid = resource.metadata.uid
        return partial(self._cleanup.remove_keys, resource.target_key, uid)

    async def find_orphans(
        self, namespace: str | None, living: frozenset[str]
    ) -> Mapping[SecretKey, Callable[[], Awaitable[None]]]:
        """Return how to clean up after resources whose deletion was missed."""
        orphans = await self._cleanup.find_orphans(namespace, living)
        return {
            key: partial(self._cleanup.remove_keys, key, uid)
            for key, uid in orphans.items()
            # A copy of a target in another namespace carries the UID of a living resource.
            if not self._uses.index.has(uid)
        }

    def status_seen(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Take over the status that the API server has."""
        if isinstance(resource, PineconeAccessToken):
            self._state(resource).status = status

    def urgency(self, resource: Resource) -> tuple[float, ...]:
        """No token and no failure yet first, the newest resource foremost; then by expiry.

        What keeps failing without a token comes last: it must not hold up refreshes.
        """
        metadata = resource.metadata
        state = self._states.get((resource.ref, metadata.uid))
        times = state.known.times if state else None
        if times is not None:
            return (1.0, times.expires_at.timestamp())
        reported = _expiry(resource)
        if reported is not None:
            return (1.0, reported.timestamp())
        has_failed = state is not None and bool(
            state.known.attempts.failures or state.status.get("conditions")
        )
        return (2.0 if has_failed else 0.0, -metadata.creation_timestamp.timestamp())

    # One resource

    def _get(self, ref: ObjectRef) -> PineconeAccessToken | None:
        resource = self._uses.index.get(ref)
        return resource if isinstance(resource, PineconeAccessToken) else None

    def _state(self, resource: PineconeAccessToken) -> State:
        # By UID, so that nothing of a resource is taken for another of the same name.
        identity = resource.ref, resource.metadata.uid
        if identity not in self._states:
            self._states[identity] = State.of(resource.status, resource.metadata.generation)
        return self._states[identity]

    def _is_wanted(self, assignment: Assignment) -> bool:
        resource = self._uses.index.get(assignment.ref)
        return resource is not None and resource.metadata.uid == assignment.uid

    def _forget_gone(self, resource: PineconeAccessToken) -> None:
        """Drop what a reconcile of a resource has left that was deleted meanwhile."""
        if self._uses.index.get(resource.ref) is None:
            self.forget(resource)
        else:
            self._states.pop((resource.ref, resource.metadata.uid), None)

    async def _exists(self, assignment: Assignment) -> bool:
        """Ask whether a resource is there; a successor of it was missed."""
        ref = assignment.ref
        return await resource_exists(
            self._uses.api, KIND, ref.namespace, ref.name, assignment.uid, self._uses.missed
        )

    # Report

    async def _report(
        self,
        resource: PineconeAccessToken,
        assignment: Assignment,
        outcome: Outcome,
        state: State,
    ) -> bool:
        """Write the status, record Events and set the metrics; return whether that worked."""
        now = self._uses.env.now()
        ((target, plan),) = outcome.targets
        times, wanted = token_in(target), assignment.wanted
        not_refreshed = find_not_refreshed(outcome, target, plan)
        self._uses.metrics.token(
            resource.ref,
            TokenSample(
                ready=find_unready(target, not_refreshed, now) is None,
                reason=str(reason_of(target, not_refreshed)),
                refreshed=not_refreshed is None,
                expires_at=times.expires_at if times else None,
                # While suspended nothing is scheduled: alerts then ignore the expiry.
                refresh_at=times.refresh_at if times and not wanted.suspend else None,
                refreshed_at=times.refreshed_at if times else None,
            ),
        )
        trouble = outcome.known.trouble
        passing = trouble.problem and trouble.problem.reason is Reason.API_SERVER_ERROR
        if passing and trouble.failures == 1:
            return True  # one failed request is retried before it is reported

        def compute(previous: Status) -> dict[str, Any]:
            return compute_status(outcome, wanted, previous, self._uses.env.now())

        try:
            await self._write_status(resource.ref, resource.metadata.uid, state, compute)
        except ApiError as error:
            logger.warning(
                "Failed to write the status (%s); retrying", error, extra={"resource": resource.ref}
            )
            return False
        return True

    async def _write_status(
        self,
        ref: ObjectRef,
        uid: str,
        state: State,
        compute: Callable[[Status], dict[str, Any]],
    ) -> None:
        """Write a status, and record its transitions as Events.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        path = api_resource(KIND).item(ref.namespace, ref.name)
        for tries_left in reversed(range(_STATUS_TRIES)):
            status = compute(state.status)
            patch = status_patch(status, state.status, uid)
            if patch is None:
                return
            try:
                await self._uses.api.request(
                    "PATCH", f"{path}/status", body=patch, content_type=JSON_PATCH
                )
            except ApiError as error:
                if error.not_found:
                    return  # its deletion event is in flight
                if not error.invalid or not tries_left:
                    raise
                # A test in the patch failed: another resource, or another controller's condition.
                found = await self._uses.api.request("GET", path)
                if found["metadata"]["uid"] != uid:
                    self._uses.missed()
                    return
                state.status = found.get("status") or {}
            else:
                for transition in find_transitions(status, state.status):
                    self._uses.record(ref, uid, transition)
                state.status = status
                return


def assign(resource: PineconeAccessToken, find_rival: FindRival) -> Assignment:
    """Return what a resource requests."""
    metadata, spec = resource.metadata, resource.spec
    target = TargetSpec(
        key=resource.target_key,
        ref=resource.ref,
        owner=Owner(KIND.name, metadata.name, metadata.uid),
        creation_policy=spec.target.creation_policy,
        deletion_policy=spec.target.deletion_policy,
        template=spec.target.template,
    )
    return Assignment(
        ref=resource.ref,
        uid=metadata.uid,
        wanted=Wanted(
            metadata.generation, spec.refresh_before, spec.suspend, metadata.refresh_request
        ),
        credentials_key=resource.credentials_key,
        client_id_key=spec.credentials_secret_ref.client_id_key,
        client_secret_key=spec.credentials_secret_ref.client_secret_key,
        specs=(target,),
        find_rival=find_rival,
    )


_STATUS_NOT_WRITTEN: Final = Problem(
    Reason.API_SERVER_ERROR, "the API server failed to store the status; retrying"
)


def _result(outcome: Outcome) -> str:
    problem = outcome.known.trouble.problem
    if problem is None:
        return "success"
    return "error" if problem.reason is Reason.INTERNAL_ERROR else "api_error"


def _merges_and_deletes(resource: PineconeAccessToken) -> bool:
    target = resource.spec.target
    return target.merges and target.deletes


def _expiry(resource: Resource) -> datetime | None:
    """Return the expiry that the status reported when the resource was last read."""
    status = resource.status if isinstance(resource, PineconeAccessToken) else {}
    reported = status.get("expiresAt")
    try:
        return datetime.fromisoformat(reported) if isinstance(reported, str) else None
    except ValueError:  # the API server takes the year 0, if another writer sets the status
        return None
