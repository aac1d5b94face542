"""Reflector of Secrets: reports which of them changed, from their metadata only.

It differs from client-go's reflector in two ways. It requests `PartialObjectMetadata`, so it never
receives secret data. And it keeps uid and resourceVersion of only those names that some resource
refers to, so memory follows the number of resources, not the number of Secrets in the cluster.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, NoReturn

from pinecone_token_operator.backoff import backoff
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.interfaces import ListsAndWatches
from pinecone_token_operator.kube.media_types import METADATA, METADATA_LIST
from pinecone_token_operator.kube.paths import SECRETS

Key = tuple[str, str]
"""A Secret's (namespace, name)."""

Identity = tuple[str, str]
"""A Secret's (uid, resourceVersion)."""

# The two types that a cluster has many of and that no resource refers to.
FIELD_SELECTOR: Final = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"
WATCH_SECONDS: Final = (270, 310)
# Bookmarks come about once a minute; silence beyond that is a connection that died unnoticed.
INACTIVITY: Final = timedelta(seconds=70)
# A watch that ends sooner than this is a failure, however politely it ended.
SETTLED: Final = timedelta(seconds=10)
FIRST_DELAY: Final = timedelta(seconds=0.5)
MAX_DELAY: Final = timedelta(seconds=30)
# A server that closes a watch without an error works, so its events should not wait for long.
MAX_DELAY_AFTER_CLOSE: Final = timedelta(seconds=5)
# After an outage this long the server may have been restored from a backup, with resourceVersions
# of the past.
RELIST_AFTER: Final = 5

logger = logging.getLogger(__name__)


class SecretReflector:
    """Calls `changed` for each wanted Secret that exists at a list, changes or is deleted.

    Args:
        api: the API server.
        namespace: the namespace to watch; None means all.
        is_wanted: returns whether some resource refers to a Secret.
        changed: takes the Secret's key; must not block.
        monotonic: seconds of a clock that never goes back.
        rng: jitters the delays.
        inactivity: how long a watch may receive nothing before it counts as dead.

    Attributes:
        last_progress: when the API server last sent anything, or an error was handled, in seconds
            of `monotonic`: an API server outage is no reason to restart the process.
        synced: set once a whole list has been read.
    """

    def __init__(
        self,
        api: ListsAndWatches,
        namespace: str | None,
        *,
        is_wanted: Callable[[Key], bool],
        changed: Callable[[Key], object],
        monotonic: Callable[[], float],
        rng: random.Random,
        inactivity: timedelta = INACTIVITY,
    ) -> None:
        self._api = api
        self._path = SECRETS.collection(namespace)
        self._is_wanted = is_wanted
        self._changed = changed
        self._monotonic = monotonic
        self._rng = rng
        self._inactivity = inactivity
        self._known: dict[Key, Identity] = {}
        self._position: str | None = None  # resourceVersion to watch from; None: list first
        self.last_progress = monotonic()
        self.synced = asyncio.Event()

    async def run(self) -> NoReturn:
        """List and watch until cancelled."""
        failures = 0
        while True:
            error: ApiError | None = None
            started = self._monotonic()
            try:
                if self._position is None:
                    self._position = await self._list()
                started = self._monotonic()
                await self._watch(self._position)
            except ApiError as caught:
                error = caught
                self.last_progress = self._monotonic()
            if self._monotonic() - started >= SETTLED.total_seconds():
                failures = 0
                if error is None:
                    continue
            if error and (not error.is_transient or failures >= RELIST_AFTER):
                self._position = None
            longest = MAX_DELAY if error else MAX_DELAY_AFTER_CLOSE
            delay = backoff(failures, first=FIRST_DELAY, longest=longest, rng=self._rng)
            failures += 1
            logger.log(
                logging.DEBUG if error is None or error.gone else logging.WARNING,
                "The watch of %s ended (%s); retrying in %.1fs",
                self._path,
                error or "the server closed it at once",
                delay.total_seconds(),
            )
            await asyncio.sleep(delay.total_seconds())

    def resource_version(self, key: Key) -> str | None:
        """Return a wanted Secret's resourceVersion as last seen."""
        identity = self._known.get(key)
        return identity[1] if identity else None

    def note(self, key: Key, uid: str, resource_version: str) -> None:
        """Remember the version that a caller has just read or written."""
        known = self._known.get(key)
        # The event may arrive before the reply to the request.
        if known is None or not _is_newer(known[1], resource_version):
            self._known[key] = (uid, resource_version)

    def forget(self, key: Key) -> None:
        """Forget a Secret that no resource refers to any more."""
        self._known.pop(key, None)

    async def _list(self) -> str:
        """Read all pages, report the differences, and return where to watch from."""
        before = dict(self._known)
        found: dict[Key, Identity] = {}
        query = [("fieldSelector", FIELD_SELECTOR)]
        async for page in self._api.pages(self._path, query=query, accept=METADATA_LIST):
            self.last_progress = self._monotonic()
            position: str = page["metadata"]["resourceVersion"]
            for item in page.get("items") or ():
                key, identity = _identify(item)
                if self._is_wanted(key):
                    found[key] = identity
        for key in before.keys() | found.keys():
            # What was noted or forgotten while the pages were read is newer than they are.
            if self._known.get(key) == before.get(key) and self._is_wanted(key):
                self._see(key, found.get(key))
        self.synced.set()
        return position

    async def _watch(self, position: str) -> None:
        query = [
            ("fieldSelector", FIELD_SELECTOR),
            ("resourceVersion", position),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(self._rng.randint(*WATCH_SECONDS))),
        ]
        events = self._api.watch(
            self._path, query=query, accept=METADATA, inactivity=self._inactivity
        )
        # On an exception, a generator would hold its connection until it is garbage collected.
        async with aclosing(events):
            async for event in events:
                self._take(event)

    def _take(self, event: Mapping[str, Any]) -> None:
        item = event.get("object")
        if not isinstance(item, dict):
            raise _malformed()
        if event.get("type") == "ERROR":
            raise _error(item)
        if not _is_metadata(item, whole=event.get("type") != "BOOKMARK"):
            raise _malformed()
        self.last_progress = self._monotonic()
        self._position = item["metadata"]["resourceVersion"]
        if event.get("type") == "BOOKMARK":
            return
        key, identity = _identify(item)
        if self._is_wanted(key):
            # A deleted Secret is kept with the version of its deletion, so that the late reply to
            # an earlier request does not bring it back.
            self._see(key, identity)
        else:
            self._known.pop(key, None)

    def _see(self, key: Key, identity: Identity | None) -> None:
        """Remember a Secret, or its absence, and report it.

        Reported even if a caller has noted this version: another may have read before it existed.
        """
        known = self._known.get(key)
        if known and identity and _is_newer(known[1], identity[1]):
            return
        if identity is None:
            self._known.pop(key, None)
        else:
            self._known[key] = identity
        self._changed(key)


def _identify(item: Mapping[str, Any]) -> tuple[Key, Identity]:
    metadata = item["metadata"]
    return (
        (metadata["namespace"], metadata["name"]),
        (metadata["uid"], metadata["resourceVersion"]),
    )


def _is_metadata(item: Mapping[str, Any], *, whole: bool) -> bool:
    metadata = item.get("metadata")
    names = ("namespace", "name", "uid", "resourceVersion") if whole else ("resourceVersion",)
    return isinstance(metadata, dict) and all(isinstance(metadata.get(name), str) for name in names)


def _error(status: Mapping[str, Any]) -> ApiError:
    """Return the Status of an `ERROR` event as an error."""
    code, reason, message = (status.get(name) for name in ("code", "reason", "message"))
    return ApiError(
        code if isinstance(code, int) else 0,
        reason if isinstance(reason, str) else "",
        message if isinstance(message, str) else "",
    )


def _malformed() -> ApiError:
    return ApiError(HTTPStatus.OK, "InvalidReply", "An event of the watch is malformed")


def _is_newer(version: str, other: str) -> bool:
    """Compare two resourceVersions, which are decimal numbers.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    return (len(version), version) > (len(other), other)
