"""HTTP client of the token endpoint: one request per exchange, which the schedule retries.

httpx's transport is used without its client: a request costs a third less CPU, and what the client
adds must not happen here. It would follow redirects, keep cookies and log each request's URL.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import httpx

from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.issuing import oauth, parsing
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.outbound_proxy import httpx_proxy
from pinecone_token_operator.issuing.reissued import IssuedTokens
from pinecone_token_operator.issuing.transport_errors import exchange_error
from pinecone_token_operator.issuing.trust import Trust

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
REQUEST_TIMEOUT: Final = timedelta(seconds=10)
IDLE_TIMEOUT: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _Connection:
    """A transport with one connection, and the SSL context that it was made with."""

    transport: httpx.AsyncHTTPTransport
    context: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: httpx.Headers
    body: bytes


class TokenClient:
    """Exchanges credentials for access tokens.

    Args:
        endpoint: where tokens come from.
        max_concurrent: the maximum number of concurrent requests.
        now: the clock; must return aware times.
        request_timeout: how long an exchange may take, from connecting to the last byte.
        idle_timeout: how long a connection is kept that is not used. Each takes 0.26 MB.

    Raises:
        OSError: the CA certificates cannot be read.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        max_concurrent: int,
        now: Callable[[], datetime],
        *,
        request_timeout: timedelta = REQUEST_TIMEOUT,
        idle_timeout: timedelta = IDLE_TIMEOUT,
    ) -> None:
        self._endpoint = endpoint
        self._url = httpx.URL(endpoint.token_url)
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "pinecone-token-operator",
            "X-Pinecone-Api-Version": endpoint.api_version,
        }
        self._now = now
        self._timeout = request_timeout
        self._idle_timeout = idle_timeout.total_seconds()
        limits = httpx.Timeout(
            request_timeout.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()
        )
        self._extensions = {"timeout": limits.as_dict()}
        self._permits = asyncio.Semaphore(max_concurrent)
        # One SSL context for all: loading CA certificates takes 10 ms and 1 MB each time.
        self._trust = Trust(endpoint.ca_bundle, endpoint.ca_directory)
        self._issued = IssuedTokens()
        # One connection for each: at each request httpcore scans all connections of its pool,
        # twice. With 8 that costs a tenth of a refresh, with 32 more than the request itself.
        self._idle: deque[tuple[float, _Connection]] = deque()  # since when, the longest first
        self._closes_idle: asyncio.TimerHandle | None = None
        self._busy: set[_Connection] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def issue(self, credentials: Credentials) -> oauth.AccessToken:
        """Request a token once.

        Raises:
            ExchangeError: there is no token; the cause is chained.
        """
        async with self._permits:
            # Before the request, so that a slow reply never makes a token look younger than it is.
            requested_at = self._now()
            try:
                reply = await self._post(credentials)
            # UnicodeError: some resolvers raise it for names that they cannot encode.
            except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
                raise exchange_error(error, self._endpoint) from error
        return self._issued.limit(
            oauth.parse_response(reply.status, reply.headers, reply.body, requested_at)
        )

    async def aclose(self) -> None:
        """Close all connections; exchanges in progress fail."""
        if self._closes_idle is not None:
            self._closes_idle.cancel()
        connections = [*(connection for _, connection in self._idle), *self._busy]
        self._idle.clear()
        for connection in connections:
            self._discard(connection)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _post(self, credentials: Credentials) -> _Reply:
        connection = self._take()
        self._busy.add(connection)
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                reply = await self._send(connection.transport, credentials)
        except BaseException:
            # Never used again: a timeout or a cancellation can leave a connection in the pool
            # that stays busy forever, and so can a proxy's refusal.
            self._discard(connection)
            raise
        finally:
            self._busy.discard(connection)
        self._idle.append((asyncio.get_running_loop().time(), connection))
        if self._closes_idle is None:
            self._close_idle()
        return reply

    async def _send(self, transport: httpx.AsyncHTTPTransport, credentials: Credentials) -> _Reply:
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers,
            json=oauth.request_body(credentials, self._endpoint.audience),
            extensions=self._extensions,
        )
        response = await transport.handle_async_request(request)
        body = bytearray()
        try:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > parsing.MAX_BODY:  # parse_response says so
                    break
        finally:
            await response.aclose()
        return _Reply(response.status_code, response.headers, bytes(body))

    def _take(self) -> _Connection:
        """Return what was used last: few warm connections instead of many cold ones."""
        context = self._trust.context()
        while self._idle:
            _, connection = self._idle.pop()
            if connection.context is context:
                return connection
            self._discard(connection)  # it trusts certificates that were replaced
        return _Connection(self._make_transport(context), context)

    def _close_idle(self) -> None:
        """Close what has been idle for long, and come back as long as anything is idle."""
        self._closes_idle = None
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0][0] <= loop.time() - self._idle_timeout:
            _, connection = self._idle.popleft()
            self._discard(connection)
        if self._idle:
            self._closes_idle = loop.call_later(self._idle_timeout, self._close_idle)

    def _discard(self, connection: _Connection) -> None:
        task = asyncio.create_task(
            connection.transport.aclose(), name="close a connection to the token endpoint"
        )
        self._closing.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled():
            task.exception()  # of a connection that broke anyway

    def _make_transport(self, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(
            verify=context,
            proxy=httpx_proxy(self._endpoint.proxy, context),
            limits=httpx.Limits(
                max_connections=1,
                max_keepalive_connections=1,
                keepalive_expiry=self._idle_timeout,
            ),
            trust_env=False,  # the settings hold what the environment says
        )
