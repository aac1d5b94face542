"""Keeps the events of the resources coming, whatever becomes of kopf, which tells them.

kopf runs in a thread and an event loop of its own, because as a guest in ours it would

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

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION
from pinecone_token_operator.backoff import backoff
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.watch.isolated_loop import Guest
from pinecone_token_operator.watch.kopf_adapter import Handlers, IsNews, Tell, WatchApi

INACTIVITY: Final = timedelta(seconds=70)
# kopf passes no bookmarks on, so on a quiet day a new watch is the only sign of life: it must come
# well before `STALE`.
WATCH_SECONDS: Final = (100, 130)
STALE: Final = timedelta(seconds=180)
CHECK_EVERY: Final = timedelta(seconds=1)
FIRST_DELAY: Final = timedelta(seconds=1)
MAX_DELAY: Final = timedelta(seconds=30)
MAX_POLL: Final = timedelta(seconds=10)
# A life at least this long was a good one: what ended it is a new failure, not the next.
SETTLED: Final = timedelta(seconds=60)

logger = logging.getLogger(__name__)


class ResourceWatch:
    """Feeds the events of the resources, and keeps doing so whatever becomes of kopf.

    It tells changes alone. What is there before, or changes while nothing is watched, is for
    somebody else to list: kopf would make an event of each, and misses those that were deleted.

    Args:
        api: the API server.
        namespaces: the namespaces to watch; none means all.
        feed: told each event in the event loop of `run`; must not block.
        missed: called there when changes may have been missed: whatever is listed from then on is
            kept up to date by `feed`.
        monotonic: seconds of a clock that never goes back.
        rng: spreads the delays.
        inactivity: after how long without a single byte kopf takes a watch for dead.
        stale: after how long without any sign of life kopf itself is.
        is_news: asked before `feed`, in kopf's thread, because most events are of our own writes.

    Attributes:
        last_progress: when the API server last answered or sent an event, or an error was dealt
            with, by `monotonic`: an API server that is away is no reason to restart the process.
        begun: set once changes are told, or something was found that keeps them from being told.
    """

    def __init__(
        self,
        api: WatchApi,
        namespaces: tuple[str, ...],
        feed: Tell,
        missed: Callable[[], None],
        monotonic: Callable[[], float],
        rng: random.Random,
        inactivity: timedelta = INACTIVITY,
        stale: timedelta = STALE,
        is_news: IsNews = lambda _type, _obj: True,
    ) -> None:
        self._api = api
        self._namespaces = namespaces
        self._feed = feed
        self._missed = missed
        self._is_news = is_news
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
            why = await self._watch()
            self.begun.set()
            self._alive()
            if self._monotonic() - started >= SETTLED.total_seconds():
                failures = 0
            delay = self._delay(failures, MAX_DELAY).total_seconds()
            failures += 1
            logger.warning("Watching %s ended (%s); restarting in %.1f s", PLURAL, why, delay)
            await asyncio.sleep(delay)

    async def _wait_until_served(self) -> None:
        """Poll until the API server knows the resource: kopf would look for it only once."""
        attempts = 0
        said: str | None = None
        while True:
            problem = await self._find_problem()
            if problem is None:
                return
            self.begun.set()
            if problem != said:
                logger.warning("%s", problem)
                said = problem
            await asyncio.sleep(self._delay(attempts, MAX_POLL).total_seconds())
            attempts += 1

    async def _find_problem(self) -> str | None:
        """Return what keeps the resource from being watched and what to do; None if nothing."""
        try:
            found = await self._api.request("GET", f"/apis/{GROUP}/{VERSION}")
        except ApiError as error:
            self._alive()
            if not error.not_found:
                return f"Cannot ask the API server for {PLURAL} ({error}); trying on"
        else:
            self._alive()
            if any(each["name"] == PLURAL for each in found.get("resources") or ()):
                return None
        return (
            f"The API server does not serve {PLURAL}.{GROUP}/{VERSION}: install the"
            f" CustomResourceDefinition (crds/{PLURAL}.yaml); waiting for it"
        )

    async def _watch(self) -> str:
        """Run kopf until it ends or stalls, and return why."""
        home = asyncio.get_running_loop()
        handlers = Handlers(
            self._api,
            self._namespaces,
            tell=lambda *event: home.call_soon_threadsafe(self._take, *event),
            listed=lambda: home.call_soon_threadsafe(self._listed),
            alive=self._alive,
            is_news=self._is_news,
            monotonic=self._monotonic,
            inactivity=self._inactivity,
            watch_seconds=self._rng.randint(*WATCH_SECONDS),  # not 120.0
        )
        self._alive()
        guest = Guest("kopf", handlers.run())
        try:
            while True:
                await asyncio.wait({guest.ended}, timeout=CHECK_EVERY.total_seconds())
                if guest.ended.done():
                    return guest.ended.result()
                if self._monotonic() - self.last_progress > self._stale.total_seconds():
                    return f"no sign of life for {self._stale.total_seconds():.0f} s"
        finally:
            await guest.stop()

    def _alive(self) -> None:
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
            logger.exception("Cannot take an event", extra={"resource": resource})

    def _delay(self, failures: int, longest: timedelta) -> timedelta:
        return backoff(failures, first=FIRST_DELAY, longest=longest, rng=self._rng)
