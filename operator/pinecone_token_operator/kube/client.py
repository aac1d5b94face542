"""Raw JSON over HTTPS with the API server, by aiohttp.

The Kubernetes client's typed models cost six times the CPU, and its REST client reads netrc at
every request and wraps each in retries, which are the callers' job here.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.auth import Access, find_access
from pinecone_token_operator.kube.interfaces import Body, Query
from pinecone_token_operator.kube.media_types import JSON
from pinecone_token_operator.kube.responses import parse_object, refusal

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
REQUEST_TIMEOUT: Final = timedelta(seconds=10)
FAREWELL: Final = timedelta(seconds=0.25)
PAGE: Final = 500  # objects in a page of a list
USER_AGENT: Final = "pinecone-token-operator"


async def connect(
    kubeconfig: Path | None, context: str | None, heard: Callable[[str], None] = lambda _: None
) -> "Api":
    """Find the API server and the credentials for it; no request is made.

    Args:
        kubeconfig: the file to use; None means the pod's service account if neither a file nor a
            context is given, else what kubectl would use.
        context: the kubeconfig's context; None means its current one.
        heard: told the `Date` header of each reply.

    Raises:
        ApiError: nothing usable was found; the reason is `NotConfigured`.
    """
    return Api(await find_access(kubeconfig, context), heard)


class Api:
    """The API server.

    Must be made inside a running event loop.

    Args:
        access: where the API server is and how to authenticate.
        heard: told the `Date` header of each reply.
    """

    def __init__(self, access: Access, heard: Callable[[str], None]) -> None:
        self._access = access
        self._heard = heard
        self._session = self._open()

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at the end."""
        return self._access.server

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy on the way to the API server, if there is one."""
        return self._access.proxy

    @asynccontextmanager
    async def session(
        self, around: aiohttp.ClientMiddlewareType
    ) -> AsyncGenerator[aiohttp.ClientSession, None]:
        """Open a session of its own that reaches and authenticates to the API server.

        Args:
            around: what is put around each request; a 401 after which renewed credentials are
                tried is not seen there.
        """
        session = self._open(around)
        try:
            yield session
        finally:
            await _close(session)

    def _open(self, *around: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        async def send(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            access = self._access
            # A redirect elsewhere must not take the credentials along.
            ours = request.url.origin() == access.origin
            if ours:
                await access.authorize(request)
            response = await handler(request)
            refused = ours and response.status == HTTPStatus.UNAUTHORIZED
            if refused and await access.authorize(request, refused=True):
                response.release()
                response = await handler(request)
            return response

        return aiohttp.ClientSession(
            # Without a limit, because the callers limit themselves.
            connector=aiohttp.TCPConnector(
                ssl=self._access.tls,
                limit=0,
                # Its TLS keeps what the other side does not take leave of:
                # https://github.com/python/cpython/pull/118960
                enable_cleanup_closed=sys.version_info < (3, 12),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            middlewares=(*around, send),
            proxy=self._access.proxy,
            trust_env=False,  # else netrc is read in a thread at each request
        )

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

        It is not tried again, except for a 401 after which renewed credentials are found.

        Raises:
            ApiError: the API server refused, did not answer in time, or gave no JSON object.
        """
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        with _mapped_errors(f"{method} {path}"):
            async with self._session.request(
                method,
                self.server + path,
                params=list(query),
                data=None if body is None else json.dumps(body).encode(),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=timeout.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()
                ),
            ) as response:
                self._heard(response.headers.get("Date", ""))
                content = await response.read()
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(response.status, content)
        return parse_object(response.status, content)

    async def pages(
        self,
        path: str,
        *,
        query: Query = (),
        accept: str = JSON,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the pages of a list, at least one.

        Raises:
            ApiError: as `request` does.
        """
        token = ""
        while True:
            asked = [*query, ("limit", str(PAGE))] + ([("continue", token)] if token else [])
            page = await self.request("GET", path, query=asked, accept=accept)
            yield page
            token = page["metadata"].get("continue") or ""
            if not token:
                return

    async def watch(
        self,
        path: str,
        *,
        query: Query,
        accept: str = JSON,
        inactivity: timedelta,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield watch events, `ERROR` and `BOOKMARK` among them, until the server closes.

        Closing the generator closes the connection.

        Args:
            path: the collection's path.
            query: parameters besides `watch`.
            accept: the media type of the events.
            inactivity: how long not a single byte may arrive.

        Raises:
            ApiError: the API server refused, fell silent, broke off or sent what is no event.
        """
        what = f"GET {path}"
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=CONNECT_TIMEOUT.total_seconds(),
            sock_read=inactivity.total_seconds(),
        )
        with _mapped_errors(what):
            response = await self._session.get(
                self.server + path,
                params=[*query, ("watch", "true")],
                headers={"Accept": accept},
                allow_redirects=False,
                timeout=timeout,
            )
        try:
            if response.status != HTTPStatus.OK:
                with _mapped_errors(what):
                    async with asyncio.timeout(REQUEST_TIMEOUT.total_seconds()):
                        content = await response.read()
                raise refusal(response.status, content)
            line: list[bytes] = []  # pieces, as an event may span many chunks
            while True:
                with _mapped_errors(what):
                    chunk = await response.content.readany()
                if not chunk:
                    break
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    event = b"".join((*line, end))
                    line.clear()
                    yield parse_object(response.status, event)
                if rest:
                    line.append(rest)
            if line:
                raise ApiError(0, "ConnectionFailed", f"{what}: the reply ends within an event")
        finally:
            # Without a TLS farewell: what streams on would have to be read before the other side's.
            if response.connection and response.connection.transport:
                response.connection.transport.abort()
            response.close()

    async def aclose(self) -> None:
        """Close all connections, except those of sessions that were asked for."""
        await _close(self._session)


async def _close(session: aiohttp.ClientSession) -> None:
    await session.close()
    # It does not wait for the TLS farewell of requests that were cut off:
    # https://docs.aiohttp.org/en/stable/client_advanced.html#graceful-shutdown
    await asyncio.sleep(FAREWELL.total_seconds())


@contextmanager
def _mapped_errors(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ApiError(0, "Timeout", f"{what}: no reply in time") from error
    except aiohttp.ClientConnectorError as error:
        # A certificate's error is a ClientConnectorError without an `os_error`.
        why = getattr(error, "certificate_error", None) or error.os_error
        raise ApiError(
            0, "ConnectionFailed", f"{what}: no connection to {error.host}:{error.port}: {why}"
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        # The text may quote the reply.
        raise ApiError(
            0, "ConnectionFailed", f"{what}: the connection failed ({type(error).__name__})"
        ) from error
