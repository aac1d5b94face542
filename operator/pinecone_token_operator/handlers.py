"""Tells each event of the resources; the only module that imports kopf.

kopf runs in a thread and an event loop of its own, because as a guest in ours it would

- cancel, whenever it ends, every task of the loop that is younger than itself,
- replace our handlers of SIGTERM and SIGINT, again at each restart, and
- leave a timer behind that kills the process ten minutes later (`ultimate_exiting_timeout`).

https://github.com/nolar/kopf/blob/1.45.2/kopf/_core/reactor/running.py
"""

import asyncio
import collections
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final, NoReturn, Protocol

import aiohttp
import kopf

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.guest import Guest
from pinecone_token_operator.models import GROUP, PLURAL, VERSION

Feed = Callable[[str | None, dict[str, Any]], None]
"""Takes an event's type (ADDED, MODIFIED, DELETED) and its object."""

IsNews = Callable[[str | None, Mapping[str, Any]], bool]
"""Tells of such an event whether to feed it."""

REQUEST_TIMEOUT: Final = timedelta(seconds=30)
INACTIVITY: Final = timedelta(seconds=70)
# kopf passes no bookmarks on, so on a quiet day a new watch is the only sign of life: it must come
# well before `STALE`.
WATCH_SECONDS: Final = (100, 130)
# Seconds between a request's attempts; after these kopf ends, and the delays below take over.
ERROR_BACKOFFS: Final = (1, 2, 4, 8)
STALE: Final = timedelta(seconds=180)
# More answers than this in so short a time: watches that close at once, which kopf reopens at once.
FLOOD: Final = 50
FLOOD_PER_NAMESPACE: Final = 10
FLOOD_WITHIN: Final = timedelta(seconds=30)
FLOOD_PAUSE: Final = timedelta(seconds=1)
CHECK_EVERY: Final = timedelta(seconds=1)
# No resource has this name: of kopf's listing just the place in time is wanted.
NOTHING: Final = "metadata.name=-"
# How long kopf keeps a task for an object after its event: a burst of many is many tasks.
WORKER_IDLE: Final = timedelta(seconds=0.1)
FIRST_DELAY: Final = timedelta(seconds=1)
MAX_DELAY: Final = timedelta(seconds=30)
MAX_POLL: Final = timedelta(seconds=10)
# A life at least this long was a good one: what ended it is a new failure, not the next.
SETTLED: Final = timedelta(seconds=60)
NOT_FOUND: Final = 404

logger = logging.getLogger(__name__)

# It warns at each start that a thread handles no signals, calls each request that it tries again an
# error, and logs a traceback for each task that an end passes through. `run` says why it ended.
logging.getLogger("kopf").setLevel(logging.CRITICAL)


class WatchApi(Protocol):
    """What is needed of `kube.Api`; `session` is called in kopf's thread and event loop."""

    @property
    def server(self) -> str:
        """The API server's address."""
        ...

    async def request(self, method: str, path: str) -> dict[str, Any]:
        """Return the reply's object, or raise `ApiError`."""
        ...

    def session(
        self, around: aiohttp.ClientMiddlewareType
    ) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        """Open a session, with something put around each request."""
        ...


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
        feed: Feed,
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
        flood = FLOOD + FLOOD_PER_NAMESPACE * len(namespaces)
        self._answers: collections.deque[float] = collections.deque(maxlen=flood)
        self._listings = 0  # in this life of kopf
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
            self.last_progress = self._monotonic()
            if self._monotonic() - started >= SETTLED.total_seconds():
                failures = 0
            delay = self._delay(failures, MAX_DELAY)
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
            await asyncio.sleep(self._delay(attempts, MAX_POLL))
            attempts += 1

    async def _find_problem(self) -> str | None:
        """Return what keeps the resource from being watched and what to do; None if nothing."""
        try:
            found = await self._api.request("GET", f"/apis/{GROUP}/{VERSION}")
        except ApiError as error:
            self.last_progress = self._monotonic()
            if error.http_status != NOT_FOUND:
                return f"Cannot ask the API server for {PLURAL} ({error}); trying on"
        else:
            self.last_progress = self._monotonic()
            if any(each["name"] == PLURAL for each in found.get("resources") or ()):
                return None
        return (
            f"The API server does not serve {PLURAL}.{GROUP}/{VERSION}: install the"
            f" CustomResourceDefinition (crds/{PLURAL}.yaml); waiting for it"
        )

    async def _watch(self) -> str:
        """Run kopf until it ends or stalls, and return why."""
        self.last_progress = self._monotonic()
        self._answers.clear()
        self._listings = 0
        guest = Guest("kopf", self._kopf(asyncio.get_running_loop()))
        try:
            while True:
                await asyncio.wait({guest.ended}, timeout=CHECK_EVERY.total_seconds())
                if guest.ended.done():
                    return guest.ended.result()
                if self._monotonic() - self.last_progress > self._stale.total_seconds():
                    return f"no sign of life for {self._stale.total_seconds():.0f} s"
        finally:
            await guest.stop()

    async def _kopf(self, home: asyncio.AbstractEventLoop) -> None:
        """Run kopf in the current event loop until it ends; feed in `home`."""

        async def around(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            lists = request.url.path.endswith(f"/{PLURAL}") and "watch" not in request.url.query
            if lists:
                request.url = request.url.update_query(fieldSelector=NOTHING)
            await self._pace()
            response = await handler(request)
            self._note_answer()
            if lists and response.ok:
                home.call_soon_threadsafe(self._note_listing)
            return response

        registry = kopf.OperatorRegistry()
        # One for each life: kopf takes a session that met a 401 for spent, and ends when the login
        # returns the same again. A new one at each login would be tried again without any delay.
        async with self._api.session(around) as session:

            @kopf.on.login(registry=registry)
            async def log_in(**_: object) -> kopf.AiohttpSession:
                return kopf.AiohttpSession(server=self._api.server, aiohttp_session=session)

            # A filter, because calling a handler costs kopf as much as the rest of an event.
            def is_news(event: kopf.RawEvent, **_: object) -> bool:
                self.last_progress = self._monotonic()
                return self._is_news(event["type"], event["object"])

            @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, when=is_news)
            async def tell(event: kopf.RawEvent, **_: object) -> None:
                home.call_soon_threadsafe(self._take, event["type"], dict(event["object"]))

            # Left to itself kopf looks up the user's name, which a container need not have, and the
            # host's in DNS.
            identity: Any = "pinecone-token-operator"
            await kopf.operator(
                registry=registry,
                settings=self._settings(),
                identity=identity,
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
            )

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        # It would watch CustomResourceDefinitions and namespaces, which takes rights on both.
        settings.scanning.disabled = True
        settings.posting.enabled = False
        settings.peering.standalone = True
        settings.process.ultimate_exiting_timeout = None
        settings.queueing.idle_timeout = WORKER_IDLE.total_seconds()
        settings.persistence.diffbase_storage = _NoDiffBase()
        settings.persistence.progress_storage = _NoProgress()
        settings.networking.request_timeout = REQUEST_TIMEOUT.total_seconds()
        settings.networking.error_backoffs = ERROR_BACKOFFS
        settings.watching.inactivity_timeout = self._inactivity.total_seconds()
        settings.watching.server_timeout = self._rng.randint(*WATCH_SECONDS)  # not 120.0
        return settings

    def _note_answer(self) -> None:
        self.last_progress = self._monotonic()
        self._answers.append(self.last_progress)

    def _note_listing(self) -> None:
        """Take note that one of the watches is about to begin."""
        self._listings += 1
        if self._listings >= max(1, len(self._namespaces)):
            self._missed()
            self.begun.set()

    async def _pace(self) -> None:
        """Hold back a request that follows too many others."""
        answers, most = self._answers, self._answers.maxlen or 0
        if len(answers) == most and answers[-1] - answers[0] < FLOOD_WITHIN.total_seconds():
            await asyncio.sleep(FLOOD_PAUSE.total_seconds())

    def _take(self, event_type: str | None, obj: dict[str, Any]) -> None:
        try:
            self._feed(event_type, obj)
        except Exception:
            metadata = obj.get("metadata") or {}
            resource = (metadata.get("namespace"), metadata.get("name"))
            logger.exception("Cannot take an event", extra={"resource": resource})

    def _delay(self, failures: int, most: timedelta) -> float:
        """Return seconds to wait: exponential, capped, and half of it random."""
        longest = min(FIRST_DELAY.total_seconds() * 2.0 ** min(failures, 10), most.total_seconds())
        return self._rng.uniform(0.5, 1.0) * longest


class _NoDiffBase(kopf.DiffBaseStorage):
    """Compares nothing. kopf builds and compares two states of each event, used or not."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        raise NotImplementedError("there are no handlers of changes")


class _NoProgress(kopf.ProgressStorage):
    """Keeps nothing, because handlers of events make no progress."""

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        raise NotImplementedError("there are no handlers of changes")

    def purge(self, **_: object) -> None:
        pass

    def touch(self, **_: object) -> None:
        pass

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
