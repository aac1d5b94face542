"""Keeps the index current from events and relists, and queues what changed."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from datetime import timedelta
from typing import Final, NoReturn

from pinecone_token_operator.api.group import REFRESH_REQUESTED_AT
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.controller.reconciler import Object, Reconciler, Resource
from pinecone_token_operator.controller.relist import Uids, list_resources
from pinecone_token_operator.controller.workers import Workers
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError, ResourceInvalid
from pinecone_token_operator.keys import ObjectRef, SecretKey, namespace_name
from pinecone_token_operator.kube.interfaces import Lists

# A process that becomes the leader with an older listing than this lists again.
FRESH: Final = timedelta(seconds=5)
RELIST_DELAY: Final = timedelta(seconds=5)
# How long to wait for the lists of all namespaces; slower ones continue in the background.
LIST_PATIENCE: Final = timedelta(seconds=10)
CONCURRENT_LISTS: Final = 16

_SLOW: Final = ApiError(0, "Timeout", "the list takes long")

Namespace = str | None
"""A watched namespace; None means all of them."""

logger = logging.getLogger(__name__)


class Controller:
    """Connects the watches to the workers; knows no kind.

    Until `run` this process is a standby: the index is kept current, and nothing is changed.

    Args:
        api: the API server.
        namespaces: the namespaces to serve; a single None means all.
        shard: which of the resources there to serve.
        index: the resources; only this class changes it.
        reconcilers: by the name of their kind.
        workers: what reconciles the resources.
        forget_secret: called with each Secret that no resource names any more.
        listed: called with a namespace after each list, and why it failed, if it did.
        env: the clocks and random numbers.

    Attributes:
        unlisted: why a namespace could not be listed the last time, by namespace.
        has_listed: whether any namespace was listed yet, or there is no CRD yet to list.
    """

    def __init__(
        self,
        *,
        api: Lists,
        namespaces: Sequence[Namespace],
        shard: Shard,
        index: Index,
        reconcilers: Mapping[str, Reconciler],
        workers: Workers,
        forget_secret: Callable[[SecretKey], None],
        listed: Callable[[Namespace, ApiError | None], None] = lambda _namespace, _error: None,
        env: Env,
    ) -> None:
        self._api = api
        self._namespaces = namespaces
        self._shard = shard
        self._index = index
        self._reconcilers = reconcilers
        self._workers = workers
        self._forget_secret = forget_secret
        self._listed = listed
        self._env = env
        # What the watches reported while a list was read, which is newer than its pages: by the
        # kind and the namespace of the list.
        self._reported: dict[tuple[str, Namespace], set[ObjectRef]] = {}
        # What a standby has found, for when it becomes the leader.
        self._postponed: dict[SecretKey, Callable[[], Awaitable[None]]] = {}
        self._rejections: dict[ObjectRef, Callable[[], Awaitable[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listed_at = env.monotonic()
        self._relist = asyncio.Event()
        self._to_list: set[Namespace] = set()
        self._listings: dict[Namespace, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(CONCURRENT_LISTS)
        self.unlisted: dict[Namespace, ApiError] = {}
        self.has_listed = False

    # Events

    def is_relevant(self, kind: str, event_type: str | None, obj: Object) -> bool:
        """Return whether an event may matter; a predicate that is safe to call in any thread.

        Another event may be on its way here. So only what never goes back, the generation, is
        compared with what was taken already.
        """
        if not self._shard.serves(obj):
            return False
        metadata = obj["metadata"]
        before = self._index.get(_ref(kind, obj))
        return (
            before is None
            # Of what others write while this process is a standby, everything matters.
            or not self._workers.working
            or event_type == "DELETED"
            or "deletionTimestamp" in metadata
            or before.metadata.uid != metadata["uid"]
            or before.metadata.generation != metadata.get("generation", 0)
            or bool(before.metadata.annotations)
            or REFRESH_REQUESTED_AT in (metadata.get("annotations") or ())
        )

    def resource_event(self, kind: str, event_type: str | None, obj: Object) -> None:
        """Take an event of a resource's watch; our own status writes change nothing."""
        if not self._shard.serves(obj):
            return
        ref = _ref(kind, obj)
        for namespace in (ref.namespace, None):
            if (reported := self._reported.get((kind, namespace))) is not None:
                reported.add(ref)
        # One that waits for its dependents to be deleted must not get its Secret back.
        if event_type == "DELETED" or obj["metadata"].get("deletionTimestamp"):
            self._remove(ref, obj["metadata"]["uid"])
        else:
            self._put(ref, obj)

    def secret_changed(self, secret: SecretKey, seen_by: Collection[Hashable]) -> None:
        """Queue the resources that a Secret matters to, except those that saw it as it is now."""
        for ref in self._index.affected_by(secret):
            if ref not in seen_by:
                self._workers.add(ref)

    # Relists

    def relist(self, *namespaces: Namespace) -> None:
        """List namespaces soon, or everything, because events may have been missed."""
        # None is all namespaces, or what a cluster-scoped kind is listed with.
        known = {each if each in self._namespaces else self._namespaces[0] for each in namespaces}
        self._to_list.update(known or self._namespaces)
        self._relist.set()

    async def list_all(self) -> None:
        """List everything, and queue what changed; what cannot be listed is in `unlisted`."""
        self._postponed.clear()  # those that still matter are found again
        self._listed_at = self._env.monotonic()
        self._to_list.update(self._namespaces)
        await self._list_requested()

    async def _list_requested(self) -> None:
        """List the namespaces that are due, all at a time, and do not wait for one that hangs."""
        self._relist.clear()
        due = self._to_list
        # What was missed after a list began takes another list.
        self._to_list = due & self._listings.keys()
        new = due - self._listings.keys()
        for namespace in new:
            task = asyncio.create_task(self._list_namespace(namespace), name="list")
            self._listings[namespace] = task
        if not new:
            return
        tasks = {self._listings[namespace] for namespace in new}
        try:
            await asyncio.wait(tasks, timeout=LIST_PATIENCE.total_seconds())
        except asyncio.CancelledError:
            for task in self._listings.values():
                task.cancel()
            raise
        for namespace in new & self._listings.keys():
            if self.unlisted.setdefault(namespace, _SLOW) is _SLOW:
                logger.info("Listing resources in %s takes long", namespace_name(namespace))

    async def _list_namespace(self, namespace: Namespace) -> None:
        error: ApiError | None = None
        try:
            async with self._slots:
                for reconciler in self._reconcilers.values():
                    if not reconciler.kind.namespaced and namespace != self._namespaces[0]:
                        continue  # it is listed with the first namespace
                    try:
                        await self._list(reconciler, namespace)
                    except ApiError as failure:
                        error = failure
        except Exception as failure:  # one namespace must not stop the others
            logger.exception("Failed to list resources")
            error = ApiError(0, "Unexpected", type(failure).__name__)
        finally:
            del self._listings[namespace]
        self._note_listed(namespace, error)
        if namespace in self._to_list:
            self._relist.set()

    async def resync(self, every: timedelta) -> NoReturn:
        """List everything and reconcile every resource periodically, until cancelled."""
        wake = due = self._from_now(every)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wake - self._env.monotonic()):
                    await self._relist.wait()
            self._to_list.update(self.unlisted.keys() - self._listings.keys())
            if self._env.monotonic() < due:
                await self._list_requested()
            else:
                await self.list_all()
                due = self._from_now(every)
                for ref in self._index:
                    self._workers.add(ref)
            wake = min(due, self._from_now(RELIST_DELAY)) if self.unlisted else due

    async def _list(self, reconciler: Reconciler, namespace: Namespace) -> None:
        """List the resources of one kind in one namespace.

        A page of a list shows the time of its first page, and events overtake it: what they
        reported meanwhile is newer. Only a whole list proves that a resource is gone.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        kind = reconciler.kind.name
        if not reconciler.kind.namespaced:
            namespace = None
        reported = self._reported[kind, namespace] = set()
        known = {ref for ref in self._index if ref.kind == kind and _is_in(ref, namespace)}
        found: set[ObjectRef] = set()
        living = Uids()
        try:
            async for obj in list_resources(self._api, reconciler.kind, namespace):
                living.add(obj["metadata"]["uid"])
                if not self._shard.serves(obj):
                    continue
                ref = _ref(kind, obj)
                found.add(ref)
                if ref not in reported:
                    self._take_listed(ref, obj)
        finally:
            del self._reported[kind, namespace]
        for ref in known - found - reported:
            resource = self._index.get(ref)
            if resource is not None:
                self._remove(ref, resource.metadata.uid)
        orphans = await reconciler.find_orphans(namespace, living)
        for target, removal in orphans.items():
            # A cluster-scoped resource is in one shard, with all its targets.
            if not reconciler.kind.namespaced or self._shard.has(*target):
                self._clean_up(target, removal)

    def _take_listed(self, ref: ObjectRef, obj: Object) -> None:
        if obj["metadata"].get("deletionTimestamp"):
            self._remove(ref, obj["metadata"]["uid"])
            return
        self._put(ref, obj)
        resource = self._index.get(ref)
        if self._workers.working and resource is not None:
            self._reconcilers[ref.kind].status_seen(resource, obj.get("status") or {})

    def _note_listed(self, namespace: Namespace, error: ApiError | None) -> None:
        """Log once when a namespace can no longer be listed, and once when it can again."""
        self._listed(namespace, error)
        before = self.unlisted.pop(namespace, None)
        # A CRD that is not installed is waited for.
        self.has_listed = self.has_listed or error is None or error.not_found
        where = namespace_name(namespace)
        if error is not None:
            self.unlisted[namespace] = error
            # The watch of the resources reports a CRD that is not installed.
            changed = before in (None, _SLOW) or before.http_status != error.http_status
            level = logging.WARNING if changed and not error.not_found else logging.DEBUG
            logger.log(level, "Failed to list resources in %s (%s); retrying", where, error)
        elif before is not None and not before.not_found:
            logger.info("Listed resources in %s", where)

    def _from_now(self, wait: timedelta) -> float:
        return self._env.monotonic() + wait.total_seconds() * self._env.rng.uniform(0.9, 1.1)

    # Index

    def _put(self, ref: ObjectRef, obj: Object) -> None:
        before = self._index.get(ref)
        # Of what others write while this process is a standby, everything matters.
        if before is not None and self._workers.working and not _has_changed(before, obj):
            return
        reconciler = self._reconcilers[ref.kind]
        try:
            resource = reconciler.parse(obj)
        except ResourceInvalid as error:
            message = str(error)
            logger.error("Invalid resource: %s", message, extra={"resource": ref})  # noqa: TRY400 - the traceback says no more
            if before is not None:
                self._drop(before)
            self._reject(ref, lambda: reconciler.reject(obj, message))
            return
        self._rejections.pop(ref, None)
        if before is not None and before.metadata.uid != resource.metadata.uid:
            self._remove(ref, before.metadata.uid)
        self._index.put(resource)
        self._workers.add(ref)

    def _remove(self, ref: ObjectRef, uid: str) -> None:
        self._rejections.pop(ref, None)
        resource = self._index.get(ref)
        if resource is None or resource.metadata.uid != uid:
            return
        self._drop(resource)
        removal = self._reconcilers[ref.kind].removal(resource)
        if removal is not None:
            for target in resource.target_keys:
                self._clean_up(target, removal)

    def _drop(self, resource: Resource) -> None:
        targets = self._index.targets_of(resource)
        self._index.remove(resource.ref)
        self._reconcilers[resource.ref.kind].forget(resource)
        self._workers.forget(resource.ref)
        for secret in {*targets, resource.credentials_key}:
            for waiting in self._index.referring_to(secret):
                self._workers.add(waiting)  # a younger resource may have waited for this target
            if not self._index.is_wanted(secret):
                self._forget_secret(secret)

    def _clean_up(self, target: SecretKey, removal: Callable[[], Awaitable[None]]) -> None:
        """Clean up a target after a deleted resource, once this process is the leader."""
        if self._workers.working:
            self._start(removal, "clean up")
        else:
            self._postponed[target] = removal

    def _reject(self, ref: ObjectRef, report: Callable[[], Awaitable[None]]) -> None:
        """Report that a resource cannot be used, once this process is the leader."""
        if self._workers.working:
            self._start(report, "report an invalid resource")
        else:
            self._rejections[ref] = report

    def _start(self, work: Callable[[], Awaitable[None]], what: str) -> None:
        """Run something concurrently with the workers; a failure of the API server is logged."""

        async def attempt() -> None:
            try:
                await work()
            except ApiError as error:
                logger.warning("Failed to %s (%s); retrying at the next resync", what, error)

        task = asyncio.create_task(attempt())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Work

    async def run(self, workers: int) -> NoReturn:
        """Reconcile with so many workers until cancelled."""
        self._workers.start()
        for target, removal in self._postponed.items():
            self._clean_up(target, removal)
        for ref, report in self._rejections.items():
            self._reject(ref, report)
        self._rejections.clear()
        if self._env.monotonic() - self._listed_at > FRESH.total_seconds():
            # A former leader may have left what no event reported.
            self.relist()
        await self._workers.run(workers)


def _ref(kind: str, obj: Object) -> ObjectRef:
    metadata = obj["metadata"]
    return ObjectRef(kind, metadata.get("namespace") or "", metadata["name"])


def _is_in(ref: ObjectRef, namespace: Namespace) -> bool:
    return namespace is None or ref.namespace == namespace


def _has_changed(before: Resource, obj: Object) -> bool:
    metadata = obj["metadata"]
    return (
        before.metadata.uid != metadata["uid"]
        or before.metadata.generation != metadata.get("generation", 0)
        or before.metadata.annotations.get(REFRESH_REQUESTED_AT)
        != (metadata.get("annotations") or {}).get(REFRESH_REQUESTED_AT)
    )
