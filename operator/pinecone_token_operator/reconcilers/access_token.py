"""Reconciles PineconeAccessTokens: one resource, one target in its own namespace."""

from collections.abc import Awaitable, Callable, Container, Mapping
from datetime import datetime
from functools import partial

from pinecone_token_operator.api.access_token import KIND, PineconeAccessToken, parse_resource
from pinecone_token_operator.controller.reconciler import Object, Resource
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.reconcilers.assignment import Assignment, FindRival, make_assignment
from pinecone_token_operator.reconcilers.cleanup import MergeCleanup
from pinecone_token_operator.reconcilers.outcome import Outcome
from pinecone_token_operator.reconcilers.refresh import MakeRefresher
from pinecone_token_operator.reconcilers.status import Report, make_report
from pinecone_token_operator.reconcilers.token_reconciler import Collaborators, TokenReconciler
from pinecone_token_operator.targets.secret import TargetSpec
from pinecone_token_operator.targets.target import Owner


class AccessTokenReconciler(TokenReconciler[PineconeAccessToken]):
    """Reconciles PineconeAccessTokens; see `TokenReconciler` for the arguments."""

    kind = KIND
    resource_type = PineconeAccessToken

    def __init__(self, uses: Collaborators, make_refresher: MakeRefresher) -> None:
        super().__init__(uses, make_refresher)
        self._cleanup = MergeCleanup(api=uses.api, kind=KIND)

    def parse(self, obj: Object) -> PineconeAccessToken:
        """Read a resource; see `Reconciler.parse`."""
        return parse_resource(obj)

    def removal(self, resource: Resource) -> Callable[[], Awaitable[None]] | None:
        """Return how to clean up after a deleted resource; see `Reconciler.removal`."""
        if not isinstance(resource, PineconeAccessToken) or not _merges_and_deletes(resource):
            return None
        uid = resource.metadata.uid
        return partial(self._cleanup.remove_keys, resource.target_key, uid)

    async def find_orphans(
        self, namespace: str | None, living: Container[str]
    ) -> Mapping[SecretKey, Callable[[], Awaitable[None]]]:
        """Return how to clean up after resources whose deletion was missed."""
        orphans = await self._cleanup.find_orphans(namespace, living)
        return {
            key: partial(self._cleanup.remove_keys, key, uid)
            for key, uid in orphans.items()
            # A copy of a target in another namespace carries the UID of a living resource.
            if not self._uses.index.has(uid)
        }

    def _assign(self, resource: PineconeAccessToken, find_rival: FindRival) -> Assignment:
        return assign(resource, find_rival)

    def _make_report(self, assignment: Assignment, outcome: Outcome, now: datetime) -> Report:
        return make_report(outcome, assignment.wanted, now)


def assign(resource: PineconeAccessToken, find_rival: FindRival) -> Assignment:
    """Return what a resource requests."""
    metadata, spec = resource.metadata, resource.spec
    target = TargetSpec(
        key=resource.target_key,
        ref=resource.ref,
        owner=Owner(KIND.name, metadata.name, metadata.uid),
        merges=spec.target.merges,
        deletion_policy=spec.target.deletion_policy,
        template=spec.target.template,
    )
    return make_assignment(resource, (target,), find_rival)


def _merges_and_deletes(resource: PineconeAccessToken) -> bool:
    target = resource.spec.target
    return target.merges and target.deletes
