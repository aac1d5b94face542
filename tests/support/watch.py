"""Follows a collection of the API server, as a controller's informer would."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import httpx

from tests.support.api import Kube, KubeError
from tests.support.cluster import Cluster

_WATCH_SECONDS = 3600
_RETRY_SECONDS = 0.5

Take = Callable[[str, Mapping[str, Any]], None]
"""Called with an event's type and object, in the watch's own thread."""


class CollectionWatch:
    """Lists and watches a collection in a thread of its own until it is left.

    A lost connection is resumed where it was; an expired watch lists again. The objects of a list
    are passed on as `ADDED`, so one that did not change can be passed on more than once. An error
    of `take` ends the watch and is raised when it is left.

    Args:
        cluster: the cluster.
        path: the collection, with a selector if need be.
        take: called with each event.
        metadata_only: whether to ask for nothing but the objects' metadata.

    Attributes:
        failure: the error that ended the watch.
    """

    def __init__(
        self, cluster: Cluster, path: str, take: Take, *, metadata_only: bool = False
    ) -> None:
        self.failure: Exception | None = None
        self._kube = Kube(cluster)
        self._path = path
        self._take = take
        self._metadata_only = metadata_only
        self._version = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # Again and again: a watch that is just being opened cannot be interrupted.
        while self._thread.is_alive():
            self._kube.interrupt_watches()
            self._thread.join(0.1)
        self._kube.close()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            self._follow_until_left()
        except Exception as error:  # noqa: BLE001 - it is raised where the watch is left
            self.failure = error

    def _follow_until_left(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._follow()
            except KubeError as error:
                if error.status == httpx.codes.GONE:
                    self._version = ""
            except (httpx.HTTPError, ValueError):
                pass  # the API server is down; there is nothing to miss until it is back
            if time.monotonic() - began < _RETRY_SECONDS:
                self._stop.wait(_RETRY_SECONDS)

    def _follow(self) -> None:
        if not self._version:
            listed = self._kube.get(self._path, metadata_only=self._metadata_only) or {}
            for item in listed.get("items") or ():
                self._take("ADDED", item)
            self._version = listed["metadata"]["resourceVersion"]
        events = self._kube.watch(
            self._path, self._version, _WATCH_SECONDS, metadata_only=self._metadata_only
        )
        for event in events:
            if event["type"] == "ERROR":
                raise KubeError(event["object"]["code"], "the watch has expired")
            self._version = event["object"]["metadata"]["resourceVersion"]
            self._take(event["type"], event["object"])
