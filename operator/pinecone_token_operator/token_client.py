"""One exchange with the token endpoint over HTTPS; retrying is the schedule's job.

Neither requests nor replies are logged here. httpx logs each request's URL at INFO: to silence that
is the caller's job.
"""

import asyncio
import math
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from pinecone_token_operator import oauth
from pinecone_token_operator.credentials import Credentials
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECT_TIMEOUT = timedelta(seconds=5)
REQUEST_TIMEOUT = timedelta(seconds=10)

# The bookkeeping of httpcore's pool grows with its size: 2.0 ms a request become 5.4 ms at 32
# connections. So more concurrency means more pools.
_POOL_SIZE = 8


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
        self._pools = [
            _Pool(_make_client(context, api_version, request_timeout))
            for _ in range(math.ceil(max_concurrent / _POOL_SIZE))
        ]

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
        for pool in self._pools:
            await pool.client.aclose()

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
        """Lend the first pool that has room: few warm connections instead of many cold ones."""
        async with self._permits:
            pool = next(pool for pool in self._pools if pool.lent < _POOL_SIZE)
            pool.lent += 1
            try:
                yield pool.client
            finally:
                pool.lent -= 1


class _Pool:
    """An httpx client and how many exchanges are using it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.lent = 0


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
        limits=httpx.Limits(max_connections=_POOL_SIZE, max_keepalive_connections=_POOL_SIZE),
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
