"""The process: starts everything, runs until it is stopped, and shuts down gracefully."""

import asyncio
import contextlib
import gc
import logging
import random
import signal
import socket
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Final, NoReturn

from pinecone_token_operator.clock import Clock
from pinecone_token_operator.config.settings import Settings
from pinecone_token_operator.controller.relist import api_resource
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError, LeaseLost
from pinecone_token_operator.issuing.oauth_client import TokenClient
from pinecone_token_operator.issuing.trust import Trust
from pinecone_token_operator.kube import client
from pinecone_token_operator.leader_election.elector import Elector
from pinecone_token_operator.leader_election.write_guard import WriteGuard
from pinecone_token_operator.reconcilers.event_recorder import EventRecorder
from pinecone_token_operator.reconcilers.gather import Audience
from pinecone_token_operator.runtime import listening, probes
from pinecone_token_operator.runtime.assembly import assemble
from pinecone_token_operator.runtime.liveness import Liveness
from pinecone_token_operator.telemetry.metrics import Metrics
from pinecone_token_operator.watch.health import WatchHealth
from pinecone_token_operator.watch.resources import ResourceWatch

STOPPED, UNEXPECTED, NOT_REACHABLE, LEASE_LOST = 0, 1, 3, 4

_MORE_WORKERS: Final = 8
# Time for reconciles in progress to write the tokens that they were issued.
_DRAIN: Final = timedelta(seconds=4)
# And, with that, to record Events and to release the Lease; the rest of 10 s is for closing.
_SHUTDOWN: Final = timedelta(seconds=6.5)
_FLUSH: Final = timedelta(seconds=0.5)
# How long to wait for the watches of resources before they are listed.
_WATCH_FIRST: Final = timedelta(seconds=2)
# How long to wait for the lists of Secrets before resources are reconciled.
_SECRETS_FIRST: Final = timedelta(seconds=10)

logger = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return the exit code (see `cli.run.EXIT_CODES`)."""
    _calm_garbage_collection()
    try:
        return asyncio.run(_App(settings).run())
    except ApiError as error:
        logger.error("Cannot use the API server: %s", error)  # noqa: TRY400 - no bug to trace
        return NOT_REACHABLE
    except LeaseLost as error:
        logger.error("Lost the Lease: %s", error)  # noqa: TRY400 - no bug to trace
        return LEASE_LOST
    except OSError as error:
        logger.error("Cannot serve probes on %s: %s", settings.health_host, error.strerror)  # noqa: TRY400 - no bug to trace
        return UNEXPECTED
    except Exception:
        logger.exception("Unexpected error")
        return UNEXPECTED


def _calm_garbage_collection() -> None:
    """Collect cycles less often, and never among what was just imported.

    With the defaults, half of a start with many resources went into the collector, in pauses of up
    to a fifth of a second, while almost nothing here is in a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class _App:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics(settings.shard.index)
        self._clock = Clock(_time_since_boot, _machine_time)
        jitter = random.Random()  # noqa: S311 - spreads load, guards nothing
        self._env = Env(now=self._clock.now, monotonic=time.monotonic, rng=jitter)
        self._health = WatchHealth(self._metrics.namespace_served)

    async def run(self) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            endpoint = self._settings.endpoint
            # Without a proxy it is not needed, and public CAs take 0.7 MB.
            proxy_trust = cache(partial(Trust, endpoint.ca_bundle, endpoint.ca_directory))
            api = await client.connect(
                self._settings.kubeconfig,
                self._settings.context,
                self._clock.observe,
                proxy_trust=lambda: proxy_trust().context(),
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
                logger.info("Serving probes and metrics on %s", listening.shown(host, port))
            await self._serve_until(stop)
        logger.info("Stopped")
        return STOPPED

    def _assemble(self, api: client.Api, tokens: TokenClient) -> None:
        settings, env = self._settings, self._env
        election = settings.leader_election
        self._elector = (
            Elector(api, election, _identity(), _time_since_boot, env.rng) if election else None
        )
        writable = WriteGuard(api, self._elector.holds) if self._elector else api
        self._events = EventRecorder(writable, env.now)
        self._loop = assemble(
            api=api,
            writable=writable,
            endpoint=tokens,
            record=self._events.record,
            audience=Audience(settings.endpoint.audience, settings.endpoint.token_url),
            namespaces=settings.namespaces or (None,),
            shard=settings.shard,
            keep_tokens=settings.keep_tokens,
            metrics=self._metrics,
            env=env,
            health=self._health,
            cluster_tokens=settings.cluster_tokens,
        )
        self._resources = [
            ResourceWatch(
                api,
                api_resource(reconciler.kind),
                settings.namespaces if reconciler.kind.namespaced else (),
                feed=partial(self._loop.controller.resource_event, kind),
                missed=self._loop.controller.relist,
                predicate=partial(self._loop.controller.is_relevant, kind),
                monotonic=env.monotonic,
                rng=env.rng,
                health=self._health,
            )
            for kind, reconciler in self._loop.reconcilers.items()
        ]
        self._liveness = Liveness(
            [
                *self._resources,
                *self._loop.reflectors.values(),
                *self._loop.namespace_reflectors,
            ],
            self._loop.workers.problems,
            env.monotonic,
        )

    async def _serve_until(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then complete the reconciles in progress."""
        serving = asyncio.create_task(self._serve())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                logger.info("Stopping")
                deadline = time.monotonic() + _SHUTDOWN.total_seconds()
                await self._loop.workers.drain(_DRAIN)
                await self._events.flush(_FLUSH)
                if self._elector:
                    left = deadline - time.monotonic()
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
                await self._start(group)
        except BaseExceptionGroup as errors:
            known = errors.subgroup((LeaseLost, ApiError))
            raise known.exceptions[0] if known else errors from None
        raise AssertionError("the watches never end")

    async def _start(self, group: asyncio.TaskGroup) -> None:
        for watch in self._resources:
            group.create_task(watch.run(), name="resource watch")
        namespaces = self._loop.namespace_reflectors
        for each in namespaces:
            group.create_task(each.run(), name="namespace reflector")
        # What is listed before is listed again then.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WATCH_FIRST.total_seconds()):
                begun = [each.begun for each in self._resources]
                for event in (*begun, *(each.begun for each in namespaces)):
                    await event.wait()
        # Before the Secrets are watched, so that it is known which ones matter. A namespace or an
        # API server that does not answer holds nothing up: everything is retried until it does.
        await self._loop.controller.list_all()
        reflectors = self._loop.reflectors.values()
        for reflector in reflectors:
            group.create_task(reflector.run(), name="secret reflector")
        controller = self._loop.controller
        group.create_task(controller.resync(self._settings.resync_interval), name="resync")
        group.create_task(self._events.run(), name="events")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SECRETS_FIRST.total_seconds()):
                for reflector in reflectors:
                    await reflector.begun.wait()
        logger.info("Watching %s", ", ".join(self._settings.namespaces) or "all namespaces")
        if self._elector:
            group.create_task(self._elector.run(), name="leader election")
            await self._elector.leading.wait()
        self._metrics.leading(leads=True)
        # A reconcile is a few requests: some may wait for the API server while others exchange.
        await controller.run(self._settings.max_concurrent_exchanges + _MORE_WORKERS)

    def _not_ready(self) -> list[str]:
        listed = self._loop.controller.has_listed
        problems = [] if listed else ["the resources are not listed yet"]
        problems += self._health.not_ready()
        return problems + (self._elector.not_ready() if self._elector else [])


def _identity() -> str:
    """Return a name for this process that no other has: a pod's name is its host's."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def _time_since_boot() -> float:
    """Return seconds that also count while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _machine_time() -> datetime:
    return datetime.now(UTC)
