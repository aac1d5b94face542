"""One exchange with the token endpoint over HTTPS; retrying is the schedule's job.

Neither requests nor replies are logged here. httpx logs each request's URL at INFO: to silence that
is the caller's job.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing import oauth
from pinecone_token_operator.issuing.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECT_TIMEOUT = timedelta(seconds=5)
REQUEST_TIMEOUT = timedelta(seconds=10)


class TokenClient:
    """Exchanges credentials for access tokens.

    Args:
        token_url: the token endpoint.
        audience: the API that tokens are for; for Pinecone with the slash at the end.
        api_version: the value of `X-Pinecone-Api-Version`.
        ca_bundle: a PEM file of the only authorities to trust; None means the usual ones.
        max_concurrent: how many requests may be under way at once.
        now: the clock; must return aware times.
        request_timeout: how long one exchange may take, from connecting to the last byte.
    """

    def __init__(
        self,
        token_url: str,
        audience: str,
        api_version: str,
        ca_bundle: Path | None,
        max_concurrent: int,
        now: Callable[[], datetime],
        *,
        request_timeout: timedelta = REQUEST_TIMEOUT,
    ) -> None:
        self._url = httpx.URL(token_url)
        self._audience = audience
        self._now = now
        self._timeout = request_timeout
        self._permits = asyncio.Semaphore(max_concurrent)
        # One context for all: loading the authorities takes 10 ms and 1 MB each time.
        context = (
            httpx.create_ssl_context()
            if ca_bundle is None
            else ssl.create_default_context(cafile=str(ca_bundle))
        )
        # One connection for each: at each request httpcore looks at all connections of its pool,
        # twice. With 8 that costs a tenth of a refresh, with 32 more than the request itself.
        self._make_client = partial(_make_client, context, api_version, request_timeout)
        self._clients: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []

    async def exchange(self, credentials: Credentials) -> oauth.AccessToken:
        """Ask once for a token.

        Raises:
            ExchangeError: there is no token; the cause is chained.
        """
        async with self._client() as client:
            # Before the request, so that a slow reply never makes a token look younger than it is.
            requested_at = self._now()
            try:
                async with asyncio.timeout(self._timeout.total_seconds()):
                    return await self._request(client, credentials, requested_at)
            except (TimeoutError, httpx.HTTPError) as error:
                raise _exchange_error(error) from error

    async def aclose(self) -> None:
        """Close all connections; exchanges under way fail."""
        for client in self._clients:
            await client.aclose()

    async def _request(
        self, client: httpx.AsyncClient, credentials: Credentials, requested_at: datetime
    ) -> oauth.AccessToken:
        json = oauth.request_body(credentials, self._audience)
        async with client.stream("POST", self._url, json=json) as response:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > oauth.MAX_BODY:  # parse_response says so
                    break
            return oauth.parse_response(
                response.status_code, response.headers, bytes(body), requested_at
            )

    @asynccontextmanager
    async def _client(self) -> "AsyncIterator[httpx.AsyncClient]":
        """Lend the client that was used last: few warm connections instead of many cold ones."""
        async with self._permits:
            if not self._idle:
                self._idle.append(self._make_client())
                self._clients.append(self._idle[0])
            client = self._idle.pop()
            try:
                yield client
            finally:
                self._idle.append(client)


def _make_client(
    context: ssl.SSLContext, api_version: str, request_timeout: timedelta
) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=context,
        headers={
            "Accept": "application/json",
            # Unpacking could turn a short reply into an endless one, so nothing is unpacked.
            "Accept-Encoding": "identity",
            "User-Agent": "pinecone-token-operator",
            "X-Pinecone-Api-Version": api_version,
        },
        # One service account's cookies must not travel with another's credentials.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(
            request_timeout.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()
        ),
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        follow_redirects=False,
        trust_env=True,  # proxies
    )


def _exchange_error(error: Exception) -> ExchangeError:
    """Tell a transport's failure in our own words."""
    failure = ExchangeFailure.UNAVAILABLE
    match error:
        case httpx.ConnectTimeout():
            summary = "no connection to the token endpoint in time"
        case TimeoutError() | httpx.TimeoutException():
            summary = "no answer from the token endpoint in time"
        case httpx.ConnectError() if _is_certificate_error(error):
            summary = "the token endpoint's certificate cannot be verified"
        case httpx.ConnectError():
            summary = "no connection to the token endpoint"
        case httpx.ProxyError():
            summary = "the proxy gives no way to the token endpoint"
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            summary = "the connection to the token endpoint broke"
        case _:
            failure = ExchangeFailure.INVALID
            summary = "the token endpoint cannot be spoken to"
    return ExchangeError(failure, summary)


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
