"""Looks at every target once a second, as an application that reads a mounted file would.

A file keeps what it held while its Secret cannot be read or is gone, so a target that is gone goes
on with the token that was seen in it last.
"""

import base64
import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any, Self

import httpx

from tests.chaos.fairness import ExpiredRead, Key
from tests.chaos.population import Member
from tests.support.api import Kube, KubeError
from tests.support.cluster import Cluster
from tests.support.token_endpoint import Issue, TokenEndpoint

# From the API server's cache, like a kubelet's watch, and so even while etcd is away.
_ALL_SECRETS = "/api/v1/secrets?resourceVersion=0&fieldSelector=type%3DOpaque"
# An answer that takes longer would be too old to judge by.
_TIMEOUT = 3.0
_ROUNDING = 1.0
# People put years into it; a clock that is wrong puts minutes.
_ABSURD = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen in one second; lives are in seconds, None while no target has a token."""

    at: float
    least: float | None
    middle: float | None


class Watcher:
    """Looks until it is left.

    Attributes:
        samples: one for each second.
        expired: each look at an expired token.
        damaged: how many looks found what neither the endpoint nor the operator can have made.
        overstated: how many looks found an `expires_at` beyond the token's true end.
        overstatement: by how many seconds at most.
        least: the least life ever seen.
        late: how many seconds after its time a look began at most: more than a few tenths mean that
            the machine was too busy for all that runs on it.
    """

    def __init__(
        self, cluster: Cluster, endpoint: TokenEndpoint, members: tuple[Member, ...], start: float
    ) -> None:
        self.samples: list[Sample] = []
        self.expired: list[ExpiredRead] = []
        self.damaged = self.overstated = 0
        self.least: float | None = None
        self.overstatement = self.late = 0.0
        self._cluster = cluster
        self._endpoint = endpoint
        self._keys = frozenset(member.key for member in members)
        self._start = start
        self._seen: Mapping[Key, Mapping[str, str]] = {}
        self._files: dict[Key, Issue] = {}
        self._away: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("reader", self._read), ("watcher", self._watch))
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
        """Return how many targets have had a token."""
        return len(self._files)

    @contextlib.contextmanager
    def away(self, namespace: str) -> Iterator[None]:
        """Do not look at a namespace: its pods go with it, and so do their files."""
        self._away.add(namespace)
        try:
            yield
        finally:
            self._away.discard(namespace)

    def _read(self) -> None:
        with Kube(self._cluster, _TIMEOUT) as kube:
            while not self._stop.is_set():
                begun = time.monotonic()
                # An API server that is away is what this is about.
                with contextlib.suppress(httpx.HTTPError, KubeError, ValueError):
                    found = (kube.get(_ALL_SECRETS) or {})["items"]
                    with self._lock:
                        self._seen = self._targets(found)
                self._stop.wait(max(0.0, begun + 1.0 - time.monotonic()))

    def _targets(self, found: list[dict[str, Any]]) -> dict[Key, Mapping[str, str]]:
        named = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in found}
        return {key: named[key].get("data") or {} for key in named.keys() & self._keys}

    def _watch(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.late = max(self.late, time.monotonic() - due)
            with self._lock:
                self._look(time.monotonic())
            due += 1.0

    def _look(self, now: float) -> None:
        lives = []
        ahead = time.time() - now
        for key in [key for key in self._files if key[0] in self._away]:
            del self._files[key]
        for key, data in self._seen.items():
            if key[0] in self._away:
                continue
            token = text(data, "access_token")
            issue = self._endpoint.issued.get(token)
            if issue is None:
                self.damaged += bool(token)
                self._files.pop(key, None)
                continue
            self._files[key] = issue
            self._compare(_stated_expiry(data), issue.expires_at + ahead)
        for key, issue in self._files.items():
            lives.append(issue.expires_at - now)
            if lives[-1] <= 0:
                at, expired_at = now - self._start, issue.expires_at - self._start
                self.expired.append(ExpiredRead(key, at, expired_at))
        least = min(lives, default=None)
        if least is not None:
            self.least = least if self.least is None else min(self.least, least)
        self.samples.append(Sample(now - self._start, least, median(lives) if lives else None))

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


def text(data: Mapping[str, str], name: str) -> str:
    """Return what one key of a Secret says; empty if it is not there, or is no text."""
    try:
        return base64.b64decode(data.get(name, "")).decode()
    except ValueError:
        return ""
