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
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NoReturn

from pinecone_token_operator.backoff import backoff
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.watch.isolated_loop import IsolatedLoop
from pinecone_token_operator.watch.kopf_adapter import Feed, KopfAdapter, Predicate, WatchApi

INACTIVITY: Final = timedelta(seconds=70)
# kopf passes no bookmarks on, so on a quiet day a reopened watch is the only sign of progress: it
# must come well before `STALE`.
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
    """Forwards the events of one kind, and keeps doing so whatever happens to kopf.

    It forwards changes only. What exists before, or changes while no watch is open, is for someone
    else to list: kopf would make an event of each object, and misses those that were deleted.

    Args:
        api: the API server.
        resource: the kind to watch.
        namespaces: the namespaces to watch; none means all, or a cluster-scoped kind.
        feed: takes each event, in the event loop of `run`; must not block.
        missed: called there when events may have been missed: `feed` keeps up to date whatever is
            listed from then on.
        monotonic: seconds of a clock that never goes back.
        rng: jitters the delays.
        predicate: called before `feed`, in kopf's thread, because most events are caused by our own
            writes.
        inactivity: how long a watch may receive nothing before kopf reopens it.
        stale: how long kopf may show no progress before it is restarted.

    Attributes:
        last_progress: when the API server last replied or sent an event, or an error was handled,
            in seconds of `monotonic`: an API server outage is no reason to restart the process.
        begun: set once events are forwarded, or the reason why they are not is known.
    """

    def __init__(
        self,
        api: WatchApi,
        resource: ApiResource,
        namespaces: tuple[str, ...],
        *,
        feed: Feed,
        missed: Callable[[], object],
        monotonic: Callable[[], float],
        rng: random.Random,
        predicate: Predicate = lambda _type, _obj: True,
        inactivity: timedelta = INACTIVITY,
        stale: timedelta = STALE,
    ) -> None:
        self._api = api
        self._resource = resource
        self._namespaces = namespaces
        self._feed = feed
        self._missed = missed
        self._predicate = predicate
        self._monotonic = monotonic
        self._rng = rng
        self._inactivity = inactivity
        self._stale = stale
        self.last_progress = monotonic()
        self.begun = asyncio.Event()

    async def run(self) -> NoReturn:
        """Watch until cancelled."""
        failures = 0
        while True:
            await self._wait_until_served()
            started = self._monotonic()
            reason = await self._watch()
            self.begun.set()
            self._progress()
            if self._monotonic() - started >= SETTLED.total_seconds():
                failures = 0
            delay = self._delay(failures, MAX_DELAY).total_seconds()
            failures += 1
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
        logged: str | None = None
        while True:
            problem = await self._find_problem()
            if problem is None:
                return
            self.begun.set()
            if problem != logged:
                logger.warning("%s; retrying", problem)
                logged = problem
            await asyncio.sleep(self._delay(attempts, MAX_POLL).total_seconds())
            attempts += 1

    async def _find_problem(self) -> str | None:
        """Return why the kind cannot be watched and what to do; None if it can."""
        try:
            found = await self._api.request("GET", self._resource.api)
        except ApiError as error:
            self._progress()
            if not error.not_found:
                return f"Failed to discover {self._resource.plural} ({error})"
        else:
            self._progress()
            if any(each["name"] == self._resource.plural for each in found.get("resources") or ()):
                return None
        return (
            f"The API server does not serve {self._resource} in version {self._resource.version};"
            " install its CustomResourceDefinition"
        )

    async def _watch(self) -> str:
        """Run kopf until it ends or stalls, and return why."""
        loop = asyncio.get_running_loop()
        adapter = KopfAdapter(
            self._api,
            self._resource,
            self._namespaces,
            feed=lambda *event: loop.call_soon_threadsafe(self._take, *event),
            listed=lambda: loop.call_soon_threadsafe(self._listed),
            progress=self._progress,
            predicate=self._predicate,
            monotonic=self._monotonic,
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
                if self._monotonic() - self.last_progress > self._stale.total_seconds():
                    return f"no progress for {self._stale.total_seconds():.0f}s"
        finally:
            await kopf.stop()

    def _progress(self) -> None:
        self.last_progress = self._monotonic()

    def _listed(self) -> None:
        self._missed()
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
