"""Puts the operator together and runs it until it is told to stop."""

import asyncio
import contextlib
import gc
import logging
import random
import signal
import socket
import time
import uuid
from collections.abc import Collection, Hashable
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION
from pinecone_token_operator.clock import Clock
from pinecone_token_operator.config.settings import Settings
from pinecone_token_operator.controller.controller import Controller
from pinecone_token_operator.controller.index import Index, Key
from pinecone_token_operator.controller.workers import Workers
from pinecone_token_operator.errors import ApiError, LeaseLost
from pinecone_token_operator.issuing.oauth_client import TokenClient
from pinecone_token_operator.kube import client
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.leader_election.elector import Elector
from pinecone_token_operator.leader_election.write_guard import WriteGuard
from pinecone_token_operator.reconcilers.access_token import Reconciler
from pinecone_token_operator.reconcilers.event_recorder import EventRecorder
from pinecone_token_operator.reconcilers.exchange import Exchange
from pinecone_token_operator.reconcilers.gather import Observer
from pinecone_token_operator.runtime import probes
from pinecone_token_operator.runtime.liveness import Liveness
from pinecone_token_operator.telemetry.metrics import Metrics
from pinecone_token_operator.watch.health import WatchHealth
from pinecone_token_operator.watch.resources import ResourceWatch
from pinecone_token_operator.watch.secrets_metadata import SecretReflector

STOPPED, UNEXPECTED, NOT_REACHABLE, LEASE_LOST = 0, 1, 3, 4

_MORE_WORKERS: Final = 8
# Time for the looks under way to write what they fetched.
_DRAIN: Final = timedelta(seconds=4)
# And, with that, to tell the Events and to give the Lease back; the rest of 10 s is for closing.
_PARTING: Final = timedelta(seconds=6.5)
_FLUSH: Final = timedelta(seconds=0.5)
# How long to wait for the watch of resources before they are listed.
_SOON: Final = timedelta(seconds=2)
# How long the API server may be away at the start.
_PATIENCE: Final = timedelta(seconds=30)

logger = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return the exit code (see `cli.run.EXIT_CODES`)."""
    _calm_garbage_collection()
    try:
        return asyncio.run(_App(settings).run())
    except ApiError as error:
        logger.error("The API server cannot be used: %s", error)  # noqa: TRY400 - no bug to trace
        return NOT_REACHABLE
    except LeaseLost as error:
        logger.error("Leaving: %s", error)  # noqa: TRY400 - no bug to trace
        return LEASE_LOST
    except OSError as error:
        logger.error("Cannot serve probes on %s: %s", settings.health_host, error.strerror)  # noqa: TRY400 - no bug to trace
        return UNEXPECTED
    except Exception:
        logger.exception("An unexpected error")
        return UNEXPECTED


def _calm_garbage_collection() -> None:
    """Look for garbage in cycles less often, and never among what was just imported.

    With the defaults, half of a start with many resources went into looking at them again and
    again, in pauses of up to a fifth of a second, while almost nothing here is in a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class _App:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._namespaces: tuple[str | None, ...] = settings.namespaces or (None,)
        self._metrics = Metrics()
        self._rng = random.Random()  # noqa: S311 - spreads load, guards nothing
        self._index = Index()
        self._health = WatchHealth()
        self._clock = Clock(_time_since_boot, _machine_time)
        self._listed = False

    async def run(self) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            api = await client.connect(
                self._settings.kubeconfig, self._settings.context, self._clock.observe
            )
            stack.push_async_callback(api.aclose)
            tokens = TokenClient(
                self._settings.endpoint,
                self._settings.max_concurrent_exchanges,
                self._clock.now,
            )
            stack.push_async_callback(tokens.aclose)
            self._assemble(api, tokens)
            runner = await probes.serve(
                self._settings.health_host,
                self._settings.health_port,
                live=self._liveness.problems,
                ready=self._not_ready,
                metrics=self._metrics.render,
                notes=self._health.notes,
            )
            stack.push_async_callback(runner.cleanup)
            for host, port, *_ in runner.addresses:
                logger.info("Serving probes and metrics on %s:%s", host, port)
            await self._serve_until(stop)
        logger.info("Stopped")
        return STOPPED

    def _assemble(self, api: client.Api, tokens: TokenClient) -> None:
        election = self._settings.leader_election
        self._elector = (
            Elector(api, election, _identity(), _time_since_boot, self._rng) if election else None
        )
        writable = WriteGuard(api, self._elector.holds) if self._elector else api
        self._secret_watches = {
            namespace: SecretReflector(
                api,
                namespace,
                is_wanted=self._index.is_wanted,
                changed=self._secret_changed,
                monotonic=time.monotonic,
                rng=self._rng,
                health=self._health,
            )
            for namespace in self._namespaces
        }
        self._events = EventRecorder(writable, self._clock.now)
        observer = Observer(
            api,
            self._secrets,
            self._index,
            self._rng,
            self._settings.endpoint.audience,
            self._settings.endpoint.token_url,
        )
        reconciler = Reconciler(
            writable,
            observer,
            Exchange(tokens, self._metrics, self._clock.now, self._rng),
            self._index,
            self._metrics,
            self._events.record,
            self._list_again,
            self._clock.now,
            self._rng,
            self._settings.keep_tokens,
        )
        self._workers = Workers(
            self._index, reconciler, self._metrics, self._clock.now, time.monotonic, self._rng
        )
        self._controller = Controller(
            writable,
            self._namespaces,
            self._settings.shard,
            self._index,
            reconciler,
            self._workers,
            self._forget_secret,
            time.monotonic,
            self._rng,
        )
        self._resources = ResourceWatch(
            api,
            ApiResource(GROUP, VERSION, PLURAL),
            self._settings.namespaces,
            feed=self._controller.resource_event,
            missed=lambda _namespace: self._controller.list_again(),
            predicate=self._controller.is_news,
            monotonic=time.monotonic,
            rng=self._rng,
            health=self._health,
        )

        self._liveness = Liveness(
            [self._resources, *self._secret_watches.values()],
            self._workers.problems,
            time.monotonic,
        )

    async def _serve_until(self, stop: asyncio.Event) -> None:
        """Work until told to stop; what is under way is then brought to its end."""
        serving = asyncio.create_task(self._serve())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                logger.info("Stopping")
                parting = time.monotonic() + _PARTING.total_seconds()
                await self._workers.drain(_DRAIN)
                await self._events.flush(_FLUSH)
                if self._elector:
                    left = parting - time.monotonic()
                    await self._elector.release(timedelta(seconds=left))
        finally:
            stopping.cancel()
            serving.cancel()
            await asyncio.wait({serving, stopping})
        if not serving.cancelled():
            serving.result()

    async def _serve(self) -> NoReturn:
        try:
            async with asyncio.TaskGroup() as group:
                await self._start_and_work(group)
        except BaseExceptionGroup as errors:
            known = errors.subgroup((LeaseLost, ApiError))
            raise known.exceptions[0] if known else errors from None
        raise AssertionError("the watches never end")

    async def _start_and_work(self, group: asyncio.TaskGroup) -> None:
        group.create_task(self._resources.run(), name="resource watch")
        # What is listed before is listed again then.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SOON.total_seconds()):
                await self._resources.begun.wait()
        # Before the Secrets are watched, so that it is known which ones matter.
        await self._list()
        for watch in self._secret_watches.values():
            group.create_task(watch.run(), name="secret watch")
        group.create_task(self._controller.resync(self._settings.resync_interval), name="resync")
        group.create_task(self._events.run(), name="events")
        for watch in self._secret_watches.values():
            await watch.synced.wait()
        logger.info("Watching %s", ", ".join(self._settings.namespaces) or "all namespaces")
        if self._elector:
            group.create_task(self._elector.run(), name="leader election")
            await self._elector.leading.wait()
        self._metrics.leading(leads=True)
        # A look is a few requests: some may wait for the API server while others exchange.
        await self._controller.run(self._settings.max_concurrent_exchanges + _MORE_WORKERS)

    async def _list(self) -> None:
        """List all resources; an API server that just starts is given a while."""
        deadline = time.monotonic() + _PATIENCE.total_seconds()
        while not self._listed:
            try:
                await self._controller.list_all()
                self._listed = True
            except ApiError as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("Listing the resources failed (%s); trying on", error)
                await asyncio.sleep(1.0)

    def _secrets(self, namespace: str) -> SecretReflector:
        return self._secret_watches.get(namespace) or self._secret_watches[None]

    def _list_again(self) -> None:
        self._controller.list_again()

    def _secret_changed(self, secret: Key, _seen_by: Collection[Hashable]) -> None:
        self._controller.secret_changed(secret)

    def _forget_secret(self, secret: Key) -> None:
        self._secrets(secret[0]).forget(secret)

    def _not_ready(self) -> list[str]:
        problems = [] if self._listed else ["the resources are not listed yet"]
        if not all(watch.synced.is_set() for watch in self._secret_watches.values()):
            problems.append("the Secrets are not listed yet")
        return problems + (self._elector.not_ready() if self._elector else [])


def _identity() -> str:
    """Return a name for this process that no other has: a pod's name is its host's."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def _time_since_boot() -> float:
    """Return seconds that also count while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _machine_time() -> datetime:
    return datetime.now(UTC)
