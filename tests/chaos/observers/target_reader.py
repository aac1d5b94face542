"""Reads every target once a second, as an application that reads a mounted file would.

A mounted file keeps its content while the Secret is missing or cannot be read. So a target that is
missing counts as still holding the token that it held last.
"""

import contextlib
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from statistics import median
from typing import Any, Self

import httpx

from tests.chaos.records import ExpiredRead, Key, Sample
from tests.support.api import Kube, KubeError
from tests.support.cluster import Cluster
from tests.support.encoding import text
from tests.support.token_endpoint import Issue, TokenEndpoint

# From the API server's cache, as a kubelet's watch is: this works even while etcd is down.
_ALL_SECRETS = "/api/v1/secrets?resourceVersion=0&fieldSelector=type%3DOpaque"
# A response that takes longer would be too old to judge by.
_TIMEOUT = 3.0
_ROUNDING = 1.0
# A wrong clock overstates an expiry by minutes; only a person overstates it by years.
_ABSURD = 3600.0


class TargetReader:
    """Reads the targets until it is left.

    Args:
        cluster: the cluster.
        endpoint: issued the tokens.
        keys: the targets.
        start: the start of the run, in monotonic seconds.

    Attributes:
        samples: the remaining lifetimes, once a second.
        expired: every read of an expired token.
        damaged: how many reads found what neither the endpoint nor the operator can have written.
        overstated: how many reads found an `expires_at` later than the token's true expiry.
        overstatement: by how many seconds at most.
        minimum: the shortest remaining lifetime ever read.
        max_delay: how many seconds too late a read started at most; more than a few tenths of a
            second mean that the machine is too busy.
    """

    def __init__(
        self, cluster: Cluster, endpoint: TokenEndpoint, keys: Collection[Key], start: float
    ) -> None:
        self.samples: list[Sample] = []
        self.expired: list[ExpiredRead] = []
        self.damaged = self.overstated = 0
        self.minimum: float | None = None
        self.overstatement = self.max_delay = 0.0
        self._cluster = cluster
        self._endpoint = endpoint
        self._keys = frozenset(keys)
        self._start = start
        self._latest: Mapping[Key, Mapping[str, str]] = {}
        self._files: dict[Key, Issue] = {}
        self._paused: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("secret reader", self._read), ("sampler", self._sample_regularly))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def served(self) -> int:
        """Return how many targets have held a token."""
        return len(self._files)

    @contextlib.contextmanager
    def paused(self, namespace: str) -> Iterator[None]:
        """Skip a namespace: when it is deleted, its pods and their files are deleted with it."""
        self._paused.add(namespace)
        try:
            yield
        finally:
            self._paused.discard(namespace)

    def _read(self) -> None:
        with Kube(self._cluster, _TIMEOUT) as kube:
            while not self._stop.is_set():
                began = time.monotonic()
                # An API server that is down is what the run is about.
                with contextlib.suppress(httpx.HTTPError, KubeError, ValueError):
                    found = (kube.get(_ALL_SECRETS) or {})["items"]
                    with self._lock:
                        self._latest = self._targets(found)
                self._stop.wait(max(0.0, began + 1.0 - time.monotonic()))

    def _targets(self, found: list[dict[str, Any]]) -> dict[Key, Mapping[str, str]]:
        named = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in found}
        return {key: named[key].get("data") or {} for key in named.keys() & self._keys}

    def _sample_regularly(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.max_delay = max(self.max_delay, time.monotonic() - due)
            with self._lock:
                self._sample(time.monotonic())
            due += 1.0

    def _sample(self, now: float) -> None:
        wall_offset = time.time() - now
        for key in [key for key in self._files if key[0] in self._paused]:
            del self._files[key]
        for key, data in self._latest.items():
            if key[0] in self._paused:
                continue
            token = text(data, "access_token")
            issue = self._endpoint.issued.get(token)
            if issue is None:
                self.damaged += bool(token)
                self._files.pop(key, None)
                continue
            self._files[key] = issue
            self._compare(_stated_expiry(data), issue.expires_at + wall_offset)
        lifetimes = []
        for key, issue in self._files.items():
            lifetimes.append(issue.expires_at - now)
            if lifetimes[-1] <= 0:
                at, expired_at = now - self._start, issue.expires_at - self._start
                self.expired.append(ExpiredRead(key, at, expired_at))
        shortest = min(lifetimes, default=None)
        if shortest is not None:
            self.minimum = shortest if self.minimum is None else min(self.minimum, shortest)
        middle = median(lifetimes) if lifetimes else None
        self.samples.append(Sample(now - self._start, shortest, middle))

    def _compare(self, stated: float, true: float) -> None:
        excess = stated - true
        if excess > _ABSURD:
            self.damaged += 1
        elif excess > _ROUNDING:
            self.overstated += 1
            self.overstatement = max(self.overstatement, excess)


def _stated_expiry(data: Mapping[str, str]) -> float:
    try:
        return datetime.fromisoformat(text(data, "expires_at")).timestamp()
    except ValueError:
        return 0.0
