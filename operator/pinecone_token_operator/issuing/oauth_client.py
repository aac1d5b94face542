"""HTTP client of the token endpoint: one request per exchange, which the schedule retries.

Neither requests nor replies are logged here. httpx logs every request's URL at INFO; the caller
must silence that.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
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


@dataclass(frozen=True, slots=True)
class _Client:
    """A client, and the SSL context that it was made with."""

    http: httpx.AsyncClient
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
    ) -> None:
        self._endpoint = endpoint
        self._url = httpx.URL(endpoint.token_url)
        self._now = now
        self._timeout = request_timeout
        self._permits = asyncio.Semaphore(max_concurrent)
        # One SSL context for all: loading CA certificates takes 10 ms and 1 MB each time.
        self._trust = Trust(endpoint.ca_bundle, endpoint.ca_directory)
        self._issued = IssuedTokens()
        # One connection for each: at each request httpcore scans all connections of its pool,
        # twice. With 8 that costs a tenth of a refresh, with 32 more than the request itself.
        self._idle: list[_Client] = []
        self._busy: set[_Client] = set()
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
        clients = [*self._idle, *self._busy]
        self._idle.clear()
        for client in clients:
            self._discard(client)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _post(self, credentials: Credentials) -> _Reply:
        client = self._take()
        self._busy.add(client)
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                reply = await self._send(client.http, credentials)
        except BaseException:
            # Never used again: a timeout or a cancellation can leave a connection in the client's
            # pool that stays busy forever, and so can a proxy's refusal.
            self._discard(client)
            raise
        finally:
            self._busy.discard(client)
        self._idle.append(client)
        return reply

    async def _send(self, client: httpx.AsyncClient, credentials: Credentials) -> _Reply:
        json = oauth.request_body(credentials, self._endpoint.audience)
        async with client.stream("POST", self._url, json=json) as response:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > parsing.MAX_BODY:  # parse_response says so
                    break
            return _Reply(response.status_code, response.headers, bytes(body))

    def _take(self) -> _Client:
        """Return the client that was used last: few warm connections instead of many cold ones."""
        context = self._trust.context()
        while self._idle:
            client = self._idle.pop()
            if client.context is context:
                return client
            self._discard(client)  # it trusts certificates that were replaced
        return _Client(self._make_http(context), context)

    def _discard(self, client: _Client) -> None:
        task = asyncio.create_task(client.http.aclose(), name="close a token client")
        self._closing.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled():
            task.exception()  # of a connection that broke anyway

    def _make_http(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=context,
            proxy=httpx_proxy(self._endpoint.proxy, context),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "pinecone-token-operator",
                "X-Pinecone-Api-Version": self._endpoint.api_version,
            },
            # One service account's cookies must not travel with another's credentials.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(
                self._timeout.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()
            ),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            follow_redirects=False,
            trust_env=False,  # the settings hold what the environment says
        )
