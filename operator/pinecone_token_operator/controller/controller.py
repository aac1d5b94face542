"""Keeps the index up to date from what the watches tell, and has looked at what is news."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NoReturn

from pinecone_token_operator.api.access_token import (
    REFRESH_REQUESTED_AT,
    CreationPolicy,
    DeletionPolicy,
    PineconeAccessToken,
    parse_resource,
)
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.controller.index import Index, Key
from pinecone_token_operator.controller.workers import Workers
from pinecone_token_operator.errors import ApiError, ResourceInvalid
from pinecone_token_operator.kube.interfaces import RequestsAndLists
from pinecone_token_operator.reconcilers import cleanup
from pinecone_token_operator.reconcilers.access_token import Reconciler

# A process that begins to work with an older listing than this lists again.
FRESH: Final = timedelta(seconds=5)
LIST_AGAIN_AFTER: Final = timedelta(seconds=5)

logger = logging.getLogger(__name__)


class Controller:
    """What is between the watches and the workers.

    Until `run` it stands by: it keeps the index up to date, and changes nothing.

    Args:
        api: the API server.
        namespaces: the namespaces to serve; a single None means all.
        shard: which of the resources there to serve.
        index: the resources; only this class changes it.
        reconciler: what it remembers of resources is kept up to date.
        workers: what looks at them.
        forget_secret: told each Secret that no resource names any more.
        monotonic: seconds of a clock that never goes back.
        rng: spreads retries.
    """

    def __init__(
        self,
        api: RequestsAndLists,
        namespaces: Sequence[str | None],
        shard: Shard,
        index: Index,
        reconciler: Reconciler,
        workers: Workers,
        forget_secret: Callable[[Key], None],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._api = api
        self._namespaces = namespaces
        self._shard = shard
        self._index = index
        self._reconciler = reconciler
        self._workers = workers
        self._forget_secret = forget_secret
        self._monotonic = monotonic
        self._rng = rng
        self._postponed: set[tuple[str, str, str]] = set()
        self._removals: set[asyncio.Task[None]] = set()
        self._listed_at = monotonic()
        self._list_again = asyncio.Event()

    # Feed

    def is_news(self, event_type: str | None, obj: Mapping[str, Any]) -> bool:
        """Return whether an event may matter; safe to call in any thread.

        Another event may be on its way here. So only what never goes back, the generation, is
        compared with what was taken already.
        """
        if not self._shard.serves(obj):
            return False
        metadata = obj["metadata"]
        before = self._index.get((metadata["namespace"], metadata["name"]))
        return (
            before is None
            # Of what others write while this process stands by, all is news.
            or not self._workers.working
            or event_type == "DELETED"
            or "deletionTimestamp" in metadata
            or before.metadata.uid != metadata["uid"]
            or before.metadata.generation != metadata.get("generation", 0)
            or REFRESH_REQUESTED_AT in before.metadata.annotations
            or REFRESH_REQUESTED_AT in (metadata.get("annotations") or ())
        )

    def resource_event(self, event_type: str | None, obj: Mapping[str, Any]) -> None:
        """Take an event of the resource's watch; our own status writes are no news."""
        if not self._shard.serves(obj):
            return
        metadata = obj["metadata"]
        key = metadata["namespace"], metadata["name"]
        # One that waits for its dependents to be deleted must not get its Secret back.
        if event_type == "DELETED" or metadata.get("deletionTimestamp"):
            self._remove(key, metadata["uid"])
        else:
            self._put(key, obj)

    def secret_changed(self, secret: Key) -> None:
        """Look at all resources that name a Secret, but for whom has written or read just that."""
        for key in self._index.referring_to(secret):
            if not self._reconciler.has_seen(key, secret):
                self._workers.add(key)

    async def list_all(self) -> None:
        """List everything, and look at what is news.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        self._list_again.clear()
        self._listed_at = self._monotonic()
        self._postponed.clear()  # those that still matter are found again
        known = set(self._index)
        found: set[Key] = set()
        for namespace in self._namespaces:
            # The Secrets first: whose resource is not in the later list has none any more.
            merged = await cleanup.merged_secrets(self._api, namespace)
            living = set()
            async for obj in cleanup.list_resources(self._api, namespace):
                self.resource_event(None, obj)
                if self._workers.working:
                    self._status_seen(obj)
                if self._shard.serves(obj):
                    found.add((obj["metadata"]["namespace"], obj["metadata"]["name"]))
                living.add(obj["metadata"]["uid"])
            for (where, name), uid in merged.items():
                if uid not in living and self._shard.has(where, name):
                    self._take_out(where, name, uid)
        for key in known - found:
            resource = self._index.get(key)
            if resource is not None:
                self._remove(key, resource.metadata.uid)

    def list_again(self) -> None:
        """Have `resync` list soon, as changes may have been missed."""
        self._list_again.set()

    async def resync(self, every: timedelta) -> NoReturn:
        """List everything and look at every resource now and then, until cancelled."""
        wake = due = self._some_time_from_now(every)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wake - self._monotonic()):
                    await self._list_again.wait()
            try:
                await self.list_all()
            except ApiError as error:
                wake = self._some_time_from_now(LIST_AGAIN_AFTER)
                logger.warning("Listing everything failed (%s); the next time is soon", error)
                continue
            if self._monotonic() >= due:
                due = self._some_time_from_now(every)
                for key in self._index:
                    self._workers.add(key)
            wake = due

    def _some_time_from_now(self, wait: timedelta) -> float:
        return self._monotonic() + wait.total_seconds() * self._rng.uniform(0.9, 1.1)

    def _status_seen(self, obj: Mapping[str, Any]) -> None:
        resource = self._index.get((obj["metadata"]["namespace"], obj["metadata"]["name"]))
        if resource is not None and resource.metadata.uid == obj["metadata"]["uid"]:
            self._reconciler.status_seen(resource, obj.get("status") or {})

    def _put(self, key: Key, obj: Mapping[str, Any]) -> None:
        before = self._index.get(key)
        # Of what others write while this process stands by, all is news.
        if before is not None and self._workers.working and not _is_news(before, obj):
            return
        try:
            resource = parse_resource(obj)
        except ResourceInvalid as error:
            logger.error("The resource cannot be used: %s", error, extra={"resource": key})  # noqa: TRY400 - the traceback says no more
            return
        if before is not None and before.metadata.uid != resource.metadata.uid:
            self._remove(key, before.metadata.uid)
        self._index.put(resource)
        self._workers.add(key)

    def _remove(self, key: Key, uid: str) -> None:
        resource = self._index.get(key)
        if resource is None or resource.metadata.uid != uid:
            return
        self._index.remove(key)
        self._reconciler.forget(resource)
        self._workers.forget(key)
        target = resource.spec.target
        if (
            target.creation_policy is CreationPolicy.MERGE
            and target.deletion_policy is DeletionPolicy.DELETE
        ):
            self._take_out(*resource.target_key, uid)
        for secret in {resource.target_key, resource.credentials_key}:
            for waiting in self._index.referring_to(secret):
                self._workers.add(waiting)  # a younger resource may have waited for this target
            if not self._index.is_wanted(secret):
                self._forget_secret(secret)

    def _take_out(self, namespace: str, name: str, uid: str) -> None:
        if not self._workers.working:
            self._postponed.add((namespace, name, uid))
            return

        async def attempt() -> None:
            try:
                await cleanup.take_out(self._api, namespace, name, uid)
            except ApiError as error:
                logger.warning(
                    "Taking the token out of Secret %s/%s failed (%s); the next resync tries again",
                    namespace,
                    name,
                    error,
                )

        task = asyncio.create_task(attempt())
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    # Work

    async def run(self, count: int) -> NoReturn:
        """Have so many workers work until cancelled."""
        self._workers.start()
        for keys_of_one_gone in self._postponed:
            self._take_out(*keys_of_one_gone)
        if self._monotonic() - self._listed_at > FRESH.total_seconds():
            # Whoever led before may have left what no event told.
            self._list_again.set()
        await self._workers.run(count)


def _is_news(before: PineconeAccessToken, obj: Mapping[str, Any]) -> bool:
    metadata = obj["metadata"]
    return (
        before.metadata.uid != metadata["uid"]
        or before.metadata.generation != metadata.get("generation", 0)
        or before.metadata.annotations.get(REFRESH_REQUESTED_AT)
        != (metadata.get("annotations") or {}).get(REFRESH_REQUESTED_AT)
    )
