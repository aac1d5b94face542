"""Reconciles ClusterPineconeAccessTokens: one token, a copy in each selected namespace."""

import logging
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from pinecone_token_operator.api.cluster_access_token import (
    KIND,
    ClusterPineconeAccessToken,
    parse_cluster_resource,
)
from pinecone_token_operator.api.common import DeletionPolicy
from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.controller.reconciler import Object, Resource
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import ObjectRef, SecretKey
from pinecone_token_operator.kube.media_types import METADATA_LIST
from pinecone_token_operator.kube.paths import SECRETS
from pinecone_token_operator.reconcilers.assignment import Assignment, FindRival, make_assignment
from pinecone_token_operator.reconcilers.cluster_status import (
    blocked_status,
    compute_cluster_status,
    find_no_token,
    find_token_problem,
)
from pinecone_token_operator.reconcilers.copies import count_copies
from pinecone_token_operator.reconcilers.copy_removal import CopyRemoval, Leaving
from pinecone_token_operator.reconcilers.known_target import KnownTarget
from pinecone_token_operator.reconcilers.outcome import Outcome
from pinecone_token_operator.reconcilers.refresh import MakeRefresher
from pinecone_token_operator.reconcilers.state import State
from pinecone_token_operator.reconcilers.status import Report, Status
from pinecone_token_operator.reconcilers.token_reconciler import Collaborators, TokenReconciler
from pinecone_token_operator.targets import names
from pinecone_token_operator.targets.secret import TargetSpec
from pinecone_token_operator.targets.target import Owner
from pinecone_token_operator.telemetry.metrics import CopySample, TokenSample
from pinecone_token_operator.watch.namespaces import Namespace, Namespaces

# How soon to look for the list of namespaces again.
_UNLISTED_DELAY: Final = timedelta(seconds=1)
# UIDs in one label selector, which is part of a URL.
_UIDS: Final = 50

logger = logging.getLogger(__name__)


class _Selection:
    """Where a resource wants copies, and which ones have to go.

    Attributes:
        namespaces: the UIDs of the selected namespaces, by name.
        leaving: the copies to remove.
    """

    def __init__(self, removal: CopyRemoval, env: Env) -> None:
        self.namespaces: Mapping[str, str] = {}
        self.leaving = Leaving(removal, env)


class ClusterAccessTokenReconciler(TokenReconciler[ClusterPineconeAccessToken]):
    """Reconciles ClusterPineconeAccessTokens.

    Args:
        uses: what it uses.
        make_refresher: makes the refresher, given how to check that a resource is still there.
        namespaces: the namespaces as they are now.
        scopes: the namespaces to serve; a single None means all.
        credentials_namespace: the cluster resource namespace, where all credentials are.
        unlisted: returns why namespaces cannot be listed; empty if they can.
    """

    kind = KIND
    resource_type = ClusterPineconeAccessToken

    def __init__(
        self,
        uses: Collaborators,
        make_refresher: MakeRefresher,
        *,
        namespaces: Namespaces,
        scopes: Sequence[str | None],
        credentials_namespace: str,
        unlisted: Callable[[], str],
    ) -> None:
        super().__init__(uses, make_refresher)
        self._namespaces = namespaces
        self._scopes = scopes
        self._credentials_namespace = credentials_namespace
        self._unlisted = unlisted
        self._removal = CopyRemoval(uses.api)
        self._selections: dict[tuple[ObjectRef, str], _Selection] = {}
        # Those whose namespaces have changed since their last reconcile began.
        self._urgent: set[ObjectRef] = set()

    # What the control loop and the watch of namespaces call

    def namespace_changed(self, before: Namespace | None, after: Namespace | None) -> None:
        """Queue the resources that select a namespace, or selected it."""
        for ref, _ in list(self._states):
            resource = self._get(ref)
            if resource is None:
                continue
            if _selects(resource, before) or _selects(resource, after):
                self._urgent.add(ref)
                self._uses.requeue(ref)

    def parse(self, obj: Object) -> ClusterPineconeAccessToken:
        """Read a resource; see `Reconciler.parse`."""
        return parse_cluster_resource(obj, self._credentials_namespace)

    async def reconcile(self, ref: ObjectRef) -> datetime | None:
        """Reconcile one resource; see `Reconciler.reconcile`."""
        resource = self._get(ref)
        if resource is None:
            return None
        if not self._namespaces.synced:
            await self._report_unlisted(resource)
            return self._uses.env.now() + _UNLISTED_DELAY
        self._urgent.discard(ref)
        selection = self._select(resource)
        uid = resource.metadata.uid
        await selection.leaving.remove_all(uid, partial(self._is_unwanted, ref, uid))
        wake_at, retry_at = await super().reconcile(ref), selection.leaving.retry_at
        if self._get(ref) is None:
            return None
        return min((each for each in (wake_at, retry_at) if each), default=None)

    def forget(self, resource: Resource) -> None:
        """Drop what is known of a resource that is gone."""
        super().forget(resource)
        self._selections.pop((resource.ref, resource.metadata.uid), None)
        self._urgent.discard(resource.ref)

    def removal(self, resource: Resource) -> Callable[[], Awaitable[None]] | None:
        """Return None: Kubernetes deletes the copies, by their owner references."""
        del resource
        return None

    async def find_orphans(
        self, namespace: str | None, living: Container[str]
    ) -> Mapping[SecretKey, Callable[[], Awaitable[None]]]:
        """Return how to remove the copies in namespaces that were unselected without an event."""
        del namespace, living
        owners = {uid: ref for ref, uid in self._identities()}
        found: dict[SecretKey, Callable[[], Awaitable[None]]] = {}
        if not self._namespaces.synced:
            return found  # an absence is not proven
        for query in _selectors(sorted(owners)):
            for scope in self._scopes:
                pages = self._uses.api.pages(
                    SECRETS.collection(scope), query=query, accept=METADATA_LIST
                )
                async for page in pages:
                    for item in page.get("items") or ():
                        metadata = item["metadata"]
                        uid = metadata["labels"][names.RESOURCE_UID]
                        key = metadata["namespace"], metadata["name"]
                        if self._is_unwanted(owners[uid], uid, key):
                            found[key] = self._remover(owners[uid], uid, key)
        return found

    def urgency(self, ref: ObjectRef) -> tuple[float, ...]:
        """Return the place in the work queue: first of all what waits for a copy."""
        if ref in self._urgent:
            return (0.0, 0.0)
        return super().urgency(ref)

    # Selection

    def _identities(self) -> Iterator[tuple[ObjectRef, str]]:
        for ref in self._uses.index:
            if ref.kind == KIND.name and (resource := self._get(ref)) is not None:
                yield ref, resource.metadata.uid

    def _select(self, resource: ClusterPineconeAccessToken) -> _Selection:
        """Claim the targets in all selected namespaces, and note which copies have to go."""
        identity = resource.ref, resource.metadata.uid
        if identity not in self._selections:
            self._selections[identity] = _Selection(self._removal, self._uses.env)
        selection = self._selections[identity]
        selected = {one.name: one.uid for one in self._namespaces if _selects(resource, one)}
        name = resource.target_name
        self._uses.index.claim(resource, [(namespace, name) for namespace in selected])
        state = self._state(resource)
        known = state.known
        had_token = known.times is not None
        targets: dict[SecretKey, KnownTarget] = {}
        for key, one in known.targets.items():
            before = selection.namespaces.get(key[0])
            # Another namespace of the same name has nothing of what was known.
            if key[1] == name and key[0] in selected and before == selected[key[0]]:
                given_up = self._gives_up(resource, key, one)
                targets[key] = KnownTarget(missing=True) if given_up else one
                if given_up:
                    selection.leaving.add(key, one.target)
            elif one.target is not None and self._is_there(key[0], before):
                selection.leaving.add(key, one.target)
        has_token = any(one.times for one in targets.values())
        if has_token:
            for namespace in selected:
                # Nothing is read before it is created, which proves that it was missing.
                targets.setdefault((namespace, name), KnownTarget(missing=True))
        lost = known.had_token or (had_token and not has_token)
        state.apply(replace(known, targets=targets, had_token=lost), self._uses.env.now())
        selection.namespaces = selected
        return selection

    def _gives_up(
        self, resource: ClusterPineconeAccessToken, key: SecretKey, known: KnownTarget
    ) -> bool:
        """Return whether a copy has to make way for a resource in its namespace."""
        target = known.target
        if target is None or target.owner_uid != resource.metadata.uid:
            return False
        return self._uses.index.is_outranked(resource, key)

    def _is_there(self, name: str, uid: str | None) -> bool:
        namespace = self._namespaces.get(name)
        return namespace is not None and namespace.uid == uid and not namespace.terminating

    def _is_unwanted(self, ref: ObjectRef, uid: str, key: SecretKey) -> bool:
        """Return whether a copy is in a namespace that exists and is not selected."""
        resource, namespace = self._get(ref), self._namespaces.get(key[0])
        if resource is None or resource.metadata.uid != uid or namespace is None:
            return False
        if namespace.terminating:
            return False
        return (
            not _selects(resource, namespace)
            or key[1] != resource.target_name
            or self._uses.index.is_outranked(resource, key)
        )

    # Removal

    def _remover(self, ref: ObjectRef, uid: str, key: SecretKey) -> Callable[[], Awaitable[None]]:
        is_unwanted = partial(self._is_unwanted, ref, uid, key)
        return partial(self._removal.remove, key, uid, None, is_unwanted)

    # Report

    def _assign(self, resource: ClusterPineconeAccessToken, find_rival: FindRival) -> Assignment:
        metadata, ref = resource.metadata, resource.ref
        selection = self._selections[ref, metadata.uid]
        owner = Owner(KIND.name, metadata.name, metadata.uid)
        specs = [
            TargetSpec(
                key=(namespace, resource.target_name),
                ref=ref,
                owner=owner,
                merges=False,
                deletion_policy=DeletionPolicy.DELETE,
                template=resource.spec.target.template,
            )
            for namespace in selection.namespaces
        ]
        return make_assignment(resource, specs, find_rival, lambda: ref in self._urgent)

    def _make_report(self, assignment: Assignment, outcome: Outcome, now: datetime) -> Report:
        times, problem = outcome.known.times, find_token_problem(outcome)
        copies = count_copies(outcome, self._unremoved(assignment), now)
        sample = TokenSample(
            ready=find_no_token(times, copies, problem, now) is None,
            reason=str(problem.reason if problem else Reason.SUCCEEDED),
            refreshed=problem is None,
            expires_at=times.expires_at if times else None,
            refresh_at=times.refresh_at if times and not assignment.wanted.suspend else None,
            refreshed_at=times.refreshed_at if times else None,
            copies=CopySample(copies.ready, copies.pending, len(copies.failed)),
        )
        wanted = assignment.wanted
        return Report(sample, partial(compute_cluster_status, outcome, copies, wanted, now=now))

    async def _report(self, assignment: Assignment, outcome: Outcome, state: State) -> bool:
        if any(plan.why for _, plan in outcome.targets):
            return True  # it is reported once those are written, which is next
        return await super()._report(assignment, outcome, state)

    def _unremoved(self, assignment: Assignment) -> Mapping[SecretKey, Problem]:
        selection = self._selections.get((assignment.ref, assignment.uid))
        return selection.leaving.unremoved if selection else {}

    async def _report_unlisted(self, resource: ClusterPineconeAccessToken) -> None:
        """Report that namespaces cannot be listed; while they are being listed, wait."""
        why = self._unlisted()
        if not why:
            return
        problem = Problem(
            Reason.API_SERVER_ERROR, f"the namespaces cannot be listed ({why}); retrying"
        )
        generation, env = resource.metadata.generation, self._uses.env

        def compute(previous: Status) -> dict[str, Any]:
            return blocked_status(problem, generation, previous, env.now())

        uid = resource.metadata.uid
        try:
            await self._status_writer.write(resource.ref, uid, self._state(resource), compute)
        except ApiError as error:
            logger.warning(
                "Failed to write the status (%s); retrying", error, extra={"resource": resource.ref}
            )


def _selects(resource: ClusterPineconeAccessToken, namespace: Namespace | None) -> bool:
    if namespace is None or namespace.terminating:
        return False
    return resource.spec.namespace_selector.matches(namespace.labels)


def _selectors(uids: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, len(uids), _UIDS):
        some = ",".join(uids[start : start + _UIDS])
        yield [("labelSelector", f"{names.RESOURCE_UID} in ({some})")]
