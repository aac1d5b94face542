"""The sidecar's process: puts its parts together, runs until it is stopped, and exits quickly."""

import asyncio
import contextlib
import logging
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from pinecone_token_operator.config.sidecar_settings import (
    Address,
    GivenCredentials,
    MountedToken,
    SidecarSettings,
)
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import CredentialsInvalid, SettingsInvalid
from pinecone_token_operator.issuing.oauth_client import TokenClient
from pinecone_token_operator.issuing.rate_limit import RateLimitedIssuer
from pinecone_token_operator.runtime import listening
from pinecone_token_operator.runtime.sidecar import http_server
from pinecone_token_operator.runtime.sidecar.credentials import (
    CredentialsOnDisk,
    CredentialSource,
    CredentialVariables,
)
from pinecone_token_operator.runtime.sidecar.current import Current, CurrentToken
from pinecone_token_operator.runtime.sidecar.health import HealthServer
from pinecone_token_operator.runtime.sidecar.http_server import Handle, HttpServer
from pinecone_token_operator.runtime.sidecar.mounted_token import MountedTokenSource
from pinecone_token_operator.runtime.sidecar.renewal import Renewal
from pinecone_token_operator.runtime.sidecar.token_directory import TokenDirectory
from pinecone_token_operator.runtime.sidecar.token_server import PATH, TokenServer
from pinecone_token_operator.runtime.sidecar.webhook import WebhookCaller
from pinecone_token_operator.telemetry.metrics import Metrics

STOPPED, UNEXPECTED, NO_TOKEN = 0, 1, 3

# How often files are checked, credentials as well as our own. It bounds every sleep, so that a
# laptop that was suspended notices within a second that time has passed.
_POLL: Final = timedelta(seconds=1)
# A stopped process has a second to exit.
_CLOSE: Final = timedelta(seconds=0.5)

logger = logging.getLogger(__name__)


class Keeper(Protocol):
    """Keeps the current token fresh."""

    async def step(self) -> None:
        """Do what is due."""
        ...


def run(settings: SidecarSettings) -> int:
    """Run until SIGTERM or SIGINT; return the exit code (see `cli.sidecar`).

    Raises:
        SettingsInvalid: something that was set cannot be used; nothing was written.
    """
    try:
        return asyncio.run(_Sidecar(settings).run())
    except SettingsInvalid:
        raise
    except Exception:
        logger.exception("Unexpected error")
        return UNEXPECTED


def anchored_clock(
    elapsed: Callable[[], float], wall: Callable[[], datetime]
) -> Callable[[], datetime]:
    """Return a clock that starts at the wall clock's time and then only counts what elapses.

    A token's remaining lifetime is real time, so setting the machine's clock must not change it.

    Args:
        elapsed: seconds, also while the machine is suspended.
        wall: the time; aware.
    """
    started, begun = wall(), elapsed()
    return lambda: started + timedelta(seconds=elapsed() - begun)


class _Sidecar:
    def __init__(self, settings: SidecarSettings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._env = Env(
            now=anchored_clock(_time_since_boot, lambda: datetime.now(UTC)),
            monotonic=_time_since_boot,
            rng=random.Random(),  # noqa: S311 - spreads load, guards nothing
        )
        self._current = Current(self._env.now)
        self._listeners: list[Callable[[CurrentToken], None]] = []
        self._stop = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with contextlib.AsyncExitStack() as stack:
            # What can be refused comes first: nothing is written before all of it is accepted.
            source = self._check_source()
            servers = self._bind(stack)
            webhook = self._webhook()
            keeper = await stack.enter_async_context(self._keeper(source))
            for listener, handle in servers:
                server = HttpServer(handle)
                await server.start(listener)
                stack.push_async_callback(server.aclose)
            if webhook:
                calls = asyncio.create_task(webhook.run(), name="webhook")
                stack.callback(calls.cancel)
            code = await self._keep(keeper)
        if code == STOPPED:
            logger.info("Stopped")
        return code

    def _check_source(self) -> CredentialSource | MountedTokenSource:
        given = self._settings.source
        source: CredentialSource | MountedTokenSource
        if isinstance(given, MountedToken):
            source = MountedTokenSource(
                given.directory, self._current, self._metrics, self._renewed
            )
        elif isinstance(given, GivenCredentials):
            source = CredentialVariables(given)
        else:
            source = CredentialsOnDisk(given)
        try:
            source.read()
        except CredentialsInvalid as error:
            raise SettingsInvalid(str(error)) from None
        return source

    def _bind(self, stack: contextlib.AsyncExitStack) -> list[tuple[socket.socket, Handle]]:
        """Listen on all addresses, but answer nothing yet."""
        settings = self._settings
        tokens = TokenServer(self._current)
        health = HealthServer(self._current, self._metrics.render, self._env.monotonic)
        servers: list[tuple[socket.socket, Handle]] = []
        for flag, address, handle, what in (
            ("--token-address", settings.token_address, tokens.handle, f"POST {PATH}"),
            ("--health-address", settings.health_address, health.handle, "probes and metrics"),
        ):
            if address:
                listener = _listen(flag, address)
                stack.callback(listener.close)
                host, port, *_ = listener.getsockname()
                logger.info("Serving %s on %s", what, listening.shown(host, port))
                servers.append((listener, handle))
        return servers

    def _webhook(self) -> WebhookCaller | None:
        if self._settings.webhook is None:
            return None
        webhook = WebhookCaller(self._settings.webhook, self._settings.endpoint, self._env)
        self._listeners.append(webhook.renewed)
        return webhook

    @contextlib.asynccontextmanager
    async def _keeper(self, source: CredentialSource | MountedTokenSource) -> AsyncIterator[Keeper]:
        if isinstance(source, MountedTokenSource):
            source.start(source.read())
            yield source
            return
        settings, env = self._settings, self._env
        directory = None
        if settings.output:
            directory = TokenDirectory(settings.output, env, in_pod=settings.in_pod)
        found = directory.open() if directory else None
        client = TokenClient(settings.endpoint, 1, env.now)
        renewal = Renewal(
            source=source,
            issuer=RateLimitedIssuer(client, self._metrics.exchange, env),
            directory=directory,
            endpoint=settings.endpoint,
            current=self._current,
            refresh_before=settings.refresh_before,
            metrics=self._metrics,
            renewed=self._renewed,
            env=env,
        )
        if found:
            renewal.resume(found)
        try:
            yield renewal
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE.total_seconds()):
                    await client.aclose()
            if directory:
                directory.close()

    async def _keep(self, keeper: Keeper) -> int:
        """Keep the token fresh until the process is stopped, or once; return the exit code."""
        keeping = asyncio.create_task(self._work(keeper), name="renewal")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait({keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (keeping, stopping):
                task.cancel()
            await asyncio.wait({keeping, stopping})
        if not keeping.cancelled():
            return keeping.result()
        # A script must not go on as if there were a token.
        return STOPPED if self._settings.one_time is None else NO_TOKEN

    async def _work(self, keeper: Keeper) -> int:
        if isinstance(keeper, Renewal) and self._settings.one_time is not None:
            return await self._once(keeper, self._settings.one_time)
        while True:
            self._current.beat = self._env.monotonic()
            await keeper.step()
            await asyncio.sleep(self._until_next())

    async def _once(self, renewal: Renewal, limit: timedelta) -> int:
        try:
            async with asyncio.timeout(limit.total_seconds()):
                while True:
                    await renewal.step()
                    if renewal.is_done:
                        return STOPPED
                    if renewal.is_rejected:
                        break
                    await asyncio.sleep(self._until_next())
        except TimeoutError:
            pass
        logger.error("No token was written: %s", self._current.problem or "timed out")
        return NO_TOKEN

    def _until_next(self) -> float:
        """Return the seconds to sleep: at most a second, and less if a request is due sooner."""
        at = self._current.retry_at
        wait = min(_POLL, at - self._env.now()) if at else _POLL
        return max(wait, timedelta(milliseconds=10)).total_seconds()

    def _renewed(self, token: CurrentToken) -> None:
        for listener in self._listeners:
            listener(token)


def _listen(flag: str, address: Address) -> socket.socket:
    try:
        return http_server.bind(*address)
    except OSError as error:  # also socket.gaierror
        shown = listening.shown(*address)
        raise SettingsInvalid(
            f"{flag}: cannot listen on {shown}: {error.strerror}; use another address or port"
        ) from error


def _time_since_boot() -> float:
    """Return seconds that also count while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
