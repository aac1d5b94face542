"""Supervisor of kopf: forwards the events of one kind, and restarts kopf when it ends or stalls.

kopf runs in its own thread and event loop, because in ours it would

- cancel, whenever it ends, every task of the loop that is younger than itself,
- replace our handlers of SIGTERM and SIGINT, again at each restart, and
- leave a timer behind that kills the process ten minutes later (`ultimate_exiting_timeout`).

https://github.com/nolar/kopf/blob/1.45.2/kopf/_core/reactor/running.py
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NoReturn

from pinecone_token_operator.backoff import backoff
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.watch.discovery import find_problem
from pinecone_token_operator.watch.event_stream import Predicate
from pinecone_token_operator.watch.health import Namespace, WatchHealth
from pinecone_token_operator.watch.isolated_loop import IsolatedLoop
from pinecone_token_operator.watch.kopf_adapter import Feed, KopfAdapter, WatchApi
from pinecone_token_operator.watch.request_gate import RequestGate

INACTIVITY: Final = timedelta(seconds=70)
WATCH_SECONDS: Final = (100, 130)
STALE: Final = timedelta(seconds=180)
CHECK_EVERY: Final = timedelta(seconds=1)
FIRST_DELAY: Final = timedelta(seconds=1)
MAX_DELAY: Final = timedelta(seconds=30)
MAX_POLL: Final = timedelta(seconds=10)
# After a run at least this long, the next failure counts as the first.
SETTLED: Final = timedelta(seconds=60)

logger = logging.getLogger(__name__)


class ResourceWatch:
    """Forwards the events of one kind, and restarts kopf when it fails.

    It forwards changes only. Objects that exist before, or change while no watch is open, must be
    listed elsewhere: kopf would send an event for each object, and misses deletions.

    A namespace whose list or watch fails is retried by itself, and does not disturb the others.

    Args:
        api: the API server.
        resource: the kind to watch.
        namespaces: the namespaces to watch; none means all, or a cluster-scoped kind.
        feed: takes each event, in the event loop of `run`; must not block.
        missed: called there with a namespace (None: all, or a cluster-scoped kind) when events may
            have been missed in it: `feed` keeps up to date what is listed from then on.
        monotonic: seconds of a clock that never goes back.
        rng: jitters the delays.
        health: the state of all watches; by default of this one only.
        predicate: called before `feed`, in kopf's thread, because most events are caused by our own
            writes.
        inactivity: how long a watch may receive nothing before kopf reopens it.
        stale: how long kopf may show no progress before it is restarted.

    Attributes:
        last_progress: when the API server last replied or sent something, or an error was handled,
            in seconds of `monotonic`: an API server outage must not restart the process.
        begun: set once each namespace has events forwarded, or a reason why not.
    """

    def __init__(
        self,
        api: WatchApi,
        resource: ApiResource,
        namespaces: tuple[str, ...],
        *,
        feed: Feed,
        missed: Callable[[Namespace], object],
        monotonic: Callable[[], float],
        rng: random.Random,
        health: WatchHealth | None = None,
        predicate: Predicate = lambda _type, _obj: True,
        inactivity: timedelta = INACTIVITY,
        stale: timedelta = STALE,
    ) -> None:
        self._api = api
        self._resource = resource
        self._namespaces = namespaces
        self._feed = feed
        self._missed = missed
        self._health = health or WatchHealth()
        self._predicate = predicate
        self._monotonic = monotonic
        self._rng = rng
        self._inactivity = inactivity
        self._stale = stale
        self._waiting: set[Namespace] = set(namespaces or (None,))
        self._not_found = False
        self.last_progress = monotonic()
        self.begun = asyncio.Event()
        for namespace in self._waiting:
            self._health.expect(resource.plural, namespace)

    @property
    def unserved(self) -> Mapping[Namespace, str]:
        """The namespaces whose events are not forwarded, and why."""
        return self._health.failures(self._resource.plural)

    async def run(self) -> NoReturn:
        """Watch until cancelled."""
        failures = 0
        while True:
            await self._wait_until_served()
            started = self._monotonic()
            reason = await self._watch()
            self._progress()
            if reason is None:
                continue
            if self._monotonic() - started >= SETTLED.total_seconds():
                failures = 0
            delay = self._delay(failures, MAX_DELAY).total_seconds()
            failures += 1
            for namespace in self._namespaces or (None,):
                if failures > 1:  # one restart costs a second
                    self._failed(namespace, ApiError(0, "WatchEnded", reason))
                self._begin(namespace)
            logger.warning(
                "The watch of %s ended (%s); restarting in %.1fs",
                self._resource.plural,
                reason,
                delay,
            )
            await asyncio.sleep(delay)

    async def _wait_until_served(self) -> None:
        """Poll until the API server serves the kind: kopf looks for it only once."""
        attempts = 0
        while problem := await find_problem(self._api, self._resource):
            self._progress()
            for namespace in self._namespaces or (None,):
                self._failed(namespace, problem)
            await asyncio.sleep(self._delay(attempts, MAX_POLL).total_seconds())
            attempts += 1
        self._progress()

    async def _watch(self) -> str | None:
        """Run kopf until it ends or stalls, and return why; None if the reason was reported."""
        loop = asyncio.get_running_loop()
        trust = self._api.tls
        self._not_found = False
        gate = RequestGate(
            self._resource,
            self._namespaces,
            listed=lambda namespace: loop.call_soon_threadsafe(self._listed, namespace),
            established=lambda namespace: loop.call_soon_threadsafe(self._established, namespace),
            failed=lambda *failure: loop.call_soon_threadsafe(self._failed, *failure),
            progress=self._progress,
            is_relevant=self._predicate,
            monotonic=self._monotonic,
            rng=self._rng,
        )
        adapter = KopfAdapter(
            self._api,
            self._resource,
            self._namespaces,
            gate=gate,
            feed=lambda *event: loop.call_soon_threadsafe(self._take, *event),
            inactivity=self._inactivity,
            watch_seconds=self._rng.randint(*WATCH_SECONDS),  # the server takes no fractions
        )
        self._progress()
        kopf = IsolatedLoop("kopf", adapter.run())
        try:
            while True:
                await asyncio.wait({kopf.ended}, timeout=CHECK_EVERY.total_seconds())
                if kopf.ended.done():
                    return kopf.ended.result()
                if self._api.tls is not trust:
                    return "the cluster's CA has changed"
                if self._not_found and await find_problem(self._api, self._resource):
                    return None  # the caller reports it, and waits until the kind is served
                self._not_found = False
                if self._monotonic() - self.last_progress > self._stale.total_seconds():
                    return f"no progress for {self._stale.total_seconds():.0f}s"
        finally:
            await kopf.stop()

    def _progress(self) -> None:
        self.last_progress = self._monotonic()

    def _listed(self, namespace: Namespace) -> None:
        self._missed(namespace)
        self._begin(namespace)

    def _established(self, namespace: Namespace) -> None:
        self._health.established(self._resource.plural, namespace)

    def _failed(self, namespace: Namespace, error: ApiError) -> None:
        self._not_found = self._not_found or error.not_found
        self._health.failed(self._resource.plural, namespace, error)
        self._begin(namespace)

    def _begin(self, namespace: Namespace) -> None:
        self._waiting.discard(namespace)
        if not self._waiting:
            self.begun.set()

    def _take(self, event_type: str | None, obj: dict[str, Any]) -> None:
        try:
            self._feed(event_type, obj)
        except Exception:
            metadata = obj.get("metadata") or {}
            resource = (metadata.get("namespace"), metadata.get("name"))
            logger.exception("Failed to handle an event", extra={"resource": resource})

    def _delay(self, failures: int, longest: timedelta) -> timedelta:
        return backoff(failures, first=FIRST_DELAY, longest=longest, rng=self._rng)
