"""API server client: raw JSON over HTTPS, with aiohttp.

The Kubernetes client's typed models cost six times the CPU. Its REST client reads netrc at every
request and wraps each in retries, which are the callers' job here.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.auth import Access, find_access
from pinecone_token_operator.kube.connector import Connector
from pinecone_token_operator.kube.interfaces import Body, Query
from pinecone_token_operator.kube.media_types import JSON
from pinecone_token_operator.kube.page_size import PageSize
from pinecone_token_operator.kube.redaction import send_without_leaks
from pinecone_token_operator.kube.responses import error_from_reply, is_status, parse_object
from pinecone_token_operator.kube.soft_limit import SoftLimit
from pinecone_token_operator.kube.timing import Timing
from pinecone_token_operator.kube.transport_errors import api_errors

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
REQUEST_TIMEOUT: Final = timedelta(seconds=10)
CLOSE_PAUSE: Final = timedelta(seconds=0.25)
# A TLS connection takes 0.26 MB, and the API server answers within milliseconds: a few connections
# carry as much as many. Requests that hang, as in an admission webhook, do not hold up others.
CONNECTIONS: Final = 8
CONNECTION_PATIENCE: Final = timedelta(milliseconds=50)
USER_AGENT: Final = "pinecone-token-operator"


async def connect(
    kubeconfig: Path | None,
    context: str | None,
    observe_date: Callable[[str], object] = lambda _: None,
    timing: Timing = Timing(),  # noqa: B008 - it is immutable
    proxy_trust: Callable[[], ssl.SSLContext] | None = None,
) -> "Api":
    """Find the API server and the credentials for it; no request is made.

    Args:
        kubeconfig: the file to use; None means the pod's service account if neither a file nor a
            context is given, else what kubectl would use.
        context: the kubeconfig's context; None means its current one.
        observe_date: takes the `Date` header of each reply of the API server.
        timing: how long to wait for pages, and how old credentials may get.
        proxy_trust: returns the trust for a proxy that is reached over TLS, to which the cluster's
            CA is added; None means the cluster's CA alone. It must be used for nothing else.

    Raises:
        ApiError: nothing usable was found; the reason is `NotConfigured`.
    """
    return Api(await find_access(kubeconfig, context, timing), observe_date, timing, proxy_trust)


class Api:
    """The API server.

    Must be created inside a running event loop.

    Args:
        access: where the API server is and how to authenticate.
        observe_date: takes the `Date` header of each reply of the API server. A reply that is not
            its own, such as a load balancer's error page, is not passed on.
        timing: how long to wait for pages.
        proxy_trust: see `connect`.
    """

    def __init__(
        self,
        access: Access,
        observe_date: Callable[[str], object],
        timing: Timing,
        proxy_trust: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._access = access
        self._observe_date = observe_date
        self._page_inactivity = timing.page_inactivity
        self._page_sizes: dict[tuple[str, str, Query], PageSize] = {}
        self._proxy_trust = proxy_trust
        self._limit = SoftLimit(CONNECTIONS, CONNECTION_PATIENCE)
        self._trusted = access.tls
        self._session = self._open(access.tls)
        self._replaced: list[aiohttp.ClientSession] = []

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at the end."""
        return self._access.server

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy on the way to the API server, if there is one."""
        return self._access.proxy

    @property
    def tls(self) -> ssl.SSLContext:
        """The trust that new connections use; another object once the cluster's CA has changed."""
        return self._access.tls

    @asynccontextmanager
    async def session(
        self, around: aiohttp.ClientMiddlewareType
    ) -> AsyncGenerator[aiohttp.ClientSession, None]:
        """Open another session that reaches and authenticates to the API server.

        It trusts the cluster's CA as of now: once `tls` is another object, open another session.

        Args:
            around: a middleware around each request; it does not see a 401 after which renewed
                credentials are tried.
        """
        session = self._open(self._access.tls, around)
        try:
            yield session
        finally:
            await _close(session)

    def _open(
        self, tls: ssl.SSLContext, *around: aiohttp.ClientMiddlewareType
    ) -> aiohttp.ClientSession:
        async def send(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            access = self._access
            # A redirect elsewhere must not take the credentials along.
            is_ours = request.url.origin() == access.origin
            if is_ours:
                await access.authorize(request)
            try:
                response = await send_without_leaks(request, handler)
            except aiohttp.ClientConnectorCertificateError:
                await access.reload_trust()
                raise
            refused = is_ours and response.status == HTTPStatus.UNAUTHORIZED
            if refused and await access.authorize(request, refused=True):
                response.release()
                response = await send_without_leaks(request, handler)
            return response

        return aiohttp.ClientSession(
            connector=Connector(tls, self._access.proxy, self._proxy_tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            middlewares=(*around, send),
            proxy=self._access.proxy,
            trust_env=False,  # else netrc is read in a thread at each request
        )

    def _proxy_tls(self) -> ssl.SSLContext:
        if self._proxy_trust is None:
            return self._access.tls
        trust = self._proxy_trust()
        self._access.add_authority(trust)
        return trust

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        query: Query = (),
        content_type: str = JSON,
        accept: str = JSON,
        timeout: timedelta = REQUEST_TIMEOUT,  # noqa: ASYNC109 - becomes aiohttp's
    ) -> dict[str, Any]:
        """Make one request and return the reply's object.

        It is not retried, except after a 401 if renewed credentials are found, and after a failed
        TLS handshake if the cluster's CA has changed.

        Raises:
            ApiError: the API server refused, did not answer in time, or gave no JSON object.
        """
        headers = {"Accept": accept}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body).encode()
        limits = aiohttp.ClientTimeout(
            total=timeout.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()
        )
        with api_errors(f"{method} {path}"):
            async with (
                self._limit,
                await self._send(method, path, query, headers, limits, data) as response,
            ):
                content = await response.read()
        return self._parse(response, content)

    async def pages(
        self,
        path: str,
        *,
        query: Query = (),
        accept: str = JSON,
        received: Callable[[], object] = lambda: None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the pages of a list, at least one.

        A list may take any time as long as something arrives. A page that does not arrive is
        requested again with fewer objects.

        Args:
            path: the collection's path.
            query: parameters besides `limit` and `continue`.
            accept: the media type of the pages.
            received: called whenever a part of a page arrives.

        Raises:
            ApiError: as `request` does. What was yielded before is then only a part of the list.
        """
        # By query as well: the few objects of a label say nothing about the size of all others.
        size = self._page_sizes.setdefault((path, accept, tuple(query)), PageSize())
        token = ""
        while True:
            asked = [*query, ("limit", str(size.limit))]
            asked += [("continue", token)] if token else []
            try:
                page, length = await self._page(path, asked, accept, received)
            except ApiError as error:
                if token and error.gone:
                    size.expired()
                if error.is_timeout and size.timed_out():
                    continue
                raise
            size.received(len(page.get("items") or ()), length)
            yield page
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    async def _page(
        self, path: str, query: Query, accept: str, received: Callable[[], object]
    ) -> tuple[dict[str, Any], int]:
        limits = aiohttp.ClientTimeout(
            total=None,
            connect=CONNECT_TIMEOUT.total_seconds(),
            sock_read=self._page_inactivity.total_seconds(),
        )
        chunks: list[bytes] = []
        with api_errors(f"GET {path}"):
            response = await self._send("GET", path, query, {"Accept": accept}, limits)
            async with response:
                async for chunk in response.content.iter_any():
                    received()
                    chunks.append(chunk)
        content = b"".join(chunks)
        return self._parse(response, content), len(content)

    def _parse(self, response: aiohttp.ClientResponse, content: bytes) -> dict[str, Any]:
        date = response.headers.get("Date", "")
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            if is_status(content):
                self._observe_date(date)
            raise error_from_reply(response.status, content)
        parsed = parse_object(response.status, content)
        self._observe_date(date)
        return parsed

    async def watch(
        self,
        path: str,
        *,
        query: Query,
        accept: str = JSON,
        inactivity: timedelta,
        received: Callable[[], object] = lambda: None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield watch events, `ERROR` and `BOOKMARK` among them, until the server closes.

        Closing the generator closes the connection.

        Args:
            path: the collection's path.
            query: parameters besides `watch`.
            accept: the media type of the events.
            inactivity: how long the watch may receive nothing.
            received: called once the watch is established, and whenever something arrives.

        Raises:
            ApiError: the API server refused, stopped sending, closed the connection within an event
                or sent something that is not an event.
        """
        request = f"GET {path}"
        limits = aiohttp.ClientTimeout(
            total=None,
            connect=CONNECT_TIMEOUT.total_seconds(),
            sock_read=inactivity.total_seconds(),
        )
        with api_errors(request):
            response = await self._send(
                "GET", path, [*query, ("watch", "true")], {"Accept": accept}, limits
            )
        try:
            if response.status != HTTPStatus.OK:
                with api_errors(request):
                    async with asyncio.timeout(REQUEST_TIMEOUT.total_seconds()):
                        content = await response.read()
                raise error_from_reply(response.status, content)
            received()
            line: list[bytes] = []  # pieces, as an event may span many chunks
            while True:
                with api_errors(request):
                    chunk = await response.content.readany()
                if not chunk:
                    break
                received()
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    event = b"".join((*line, end))
                    line.clear()
                    yield parse_object(response.status, event)
                if rest:
                    line.append(rest)
            if line:
                raise ApiError(
                    0,
                    "ConnectionFailed",
                    f"{request}: the connection was closed in the middle of an event",
                )
        finally:
            # Without a TLS close: the rest of the stream would have to be read first.
            if response.connection and response.connection.transport:
                response.connection.transport.abort()
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Query,
        headers: dict[str, str],
        limits: aiohttp.ClientTimeout,
        data: bytes | None = None,
    ) -> aiohttp.ClientResponse:
        async def attempt() -> aiohttp.ClientResponse:
            return await self._current_session().request(
                method,
                self.server + path,
                params=list(query),
                data=data,
                headers=headers,
                allow_redirects=False,
                timeout=limits,
            )

        try:
            return await attempt()
        except aiohttp.ClientConnectorCertificateError:
            if self._trusted is self._access.tls:
                raise
            return await attempt()

    def _current_session(self) -> aiohttp.ClientSession:
        """Return a session that trusts the cluster's CA as it is now."""
        if self._trusted is not self._access.tls:
            # Requests and watches in flight finish on their connections.
            self._replaced.append(self._session)
            self._trusted = self._access.tls
            self._session = self._open(self._trusted)
        return self._session

    async def aclose(self) -> None:
        """Close all connections, except those of sessions that were opened by `session`."""
        for session in (*self._replaced, self._session):
            await _close(session)


async def _close(session: aiohttp.ClientSession) -> None:
    await session.close()
    # It does not wait for the TLS close of requests that were aborted:
    # https://docs.aiohttp.org/en/stable/client_advanced.html#graceful-shutdown
    await asyncio.sleep(CLOSE_PAUSE.total_seconds())
