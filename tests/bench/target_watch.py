"""What becomes of the target Secrets, as the API server tells it."""

import http.client
import json
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

from pinecone_token_operator.targets.target import (
    EXPIRES_AT,
    REFRESH_AT,
    REFRESHED_AT,
    RESOURCE_UID,
)
from tests.support.cluster import Cluster

_ACCEPT = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_PATIENCE = 1800.0


@dataclass(frozen=True, slots=True)
class Sight:
    """A target as it became.

    Attributes:
        at: when this was told, in seconds of `time.monotonic`.
        there: False if it was deleted.
        refreshed_at, expires_at, refresh_at: as it says of its token, in seconds of `time.time`.
    """

    at: float
    there: bool
    refreshed_at: float
    expires_at: float
    refresh_at: float


class TargetWatch:
    """Follows all targets of a cluster in a thread of its own.

    Attributes:
        sights: what was told of each target, by name, in order.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.sights: defaultdict[str, list[Sight]] = defaultdict(list)
        self._cluster = cluster
        self._told = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="target watch", daemon=True)
        self._connection: http.client.HTTPSConnection | None = None
        self._stopping = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.shutdown(2)  # wakes the thread
        self._thread.join()

    def last(self, name: str) -> Sight | None:
        """Return how a target is now; None if there is none."""
        sights = self.sights.get(name)
        return sights[-1] if sights and sights[-1].there else None

    def wait_for(self, count: int) -> float:
        """Wait until so many targets have been there; return when the last of them came.

        Raises:
            TimeoutError: they were not there in time.
        """
        with self._told:
            if not self._told.wait_for(lambda: len(self.sights) >= count, _PATIENCE):
                raise TimeoutError(f"{len(self.sights)} of {count} targets came")
        return sorted(sights[0].at for sights in self.sights.values())[count - 1]

    def wait_for_next(self, name: str, since: int, timeout: float = 30.0) -> Sight:
        """Return the first sight of a target that is there, after so many sights.

        Raises:
            TimeoutError: there was none in time.
        """

        def found() -> Sight | None:
            return next((one for one in self.sights[name][since:] if one.there), None)

        with self._told:
            if not self._told.wait_for(found, timeout):
                raise TimeoutError(f"{name} got no new token")
            sight = found()
        assert sight is not None
        return sight

    def _run(self) -> None:
        """Watch until stopped; a server that is busy closes watches that do not keep up."""
        version = ""
        while not self._stopping:
            try:
                for event in self._events(version):
                    version = event["object"]["metadata"].get("resourceVersion", "")
                    if event["type"] == "ERROR":
                        break
                    self._take(event)
            except (OSError, http.client.HTTPException):
                if not self._stopping:
                    raise

    def _events(self, version: str) -> Iterator[dict[str, Any]]:
        address = urlsplit(self._cluster.url)
        assert address.hostname is not None
        self._connection = http.client.HTTPSConnection(
            address.hostname,
            address.port,
            context=ssl.create_default_context(cafile=self._cluster.ca_file),
        )
        headers = {"Authorization": f"Bearer {self._cluster.token}", "Accept": _ACCEPT}
        query = f"watch=true&timeoutSeconds=7200&labelSelector={RESOURCE_UID}"
        try:
            self._connection.request(
                "GET", f"/api/v1/secrets?{query}&resourceVersion={version}", headers=headers
            )
            response = self._connection.getresponse()
            while line := response.readline():
                yield json.loads(line)
        finally:
            self._connection.close()

    def _take(self, event: dict[str, Any]) -> None:
        at = time.monotonic()
        metadata = event["object"]["metadata"]
        annotations = metadata["annotations"]
        sight = Sight(
            at,
            event["type"] != "DELETED",
            *(
                datetime.fromisoformat(annotations[name]).timestamp()
                for name in (REFRESHED_AT, EXPIRES_AT, REFRESH_AT)
            ),
        )
        with self._told:
            sights = self.sights[metadata["name"]]
            # A watch that begins anew may tell what is there once more.
            if not sights or replace(sight, at=sights[-1].at) != sights[-1]:
                sights.append(sight)
                self._told.notify_all()
