"""Raw JSON over HTTPS with the API server, and the one place that knows `kubernetes`.

That library finds the API server and the credentials; the requests are aiohttp's. Its typed models
cost six times the CPU, and its REST client reads netrc at every request and wraps each in retries,
which are the callers' job here.
"""

import asyncio
import ipaddress
import json
import logging
import os
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import Configuration
from yarl import URL

from pinecone_token_operator.api import Body
from pinecone_token_operator.errors import ApiError

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
REQUEST_TIMEOUT: Final = timedelta(seconds=10)
FAREWELL: Final = timedelta(seconds=0.25)
# The kubelet renews a token when a fifth of its life is left, of ten minutes at the least.
RELOAD_EVERY: Final = timedelta(seconds=60)
# After a 401, credentials this old are read again: they may have been renewed before their time.
# Younger ones are not, or a plugin would run for each request while an account is locked.
RELOAD_REFUSED: Final = timedelta(seconds=5)
MAX_MESSAGE: Final = 300
PAGE: Final = 500  # objects in a page of a list
USER_AGENT: Final = "pinecone-token-operator"

logger = logging.getLogger(__name__)

Reload = Callable[[], Awaitable[None]]
"""Reads credentials into a `Configuration` again."""


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
    # With its default, a kubeconfig without `server` would mean http://localhost.
    configuration = Configuration(host="", client_session_kwargs={"trust_env": False})
    why_not_pod = ""
    source = str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    try:
        if kubeconfig is None and context is None:
            try:
                return Api(configuration, await _load_pod(configuration), heard)
            except kube_config.ConfigException as error:
                why_not_pod = f"No service account of a pod is here: {error} "
        return Api(configuration, await _load_file(configuration, source, context), heard)
    except Exception as error:  # noqa: BLE001 - a malformed kubeconfig raises about anything
        # Neither its text nor the cause: both can quote the user's entry, with its token.
        raise ApiError(
            0,
            "NotConfigured",
            f"{why_not_pod}The kubeconfig {source} cannot be used ({type(error).__name__}). "
            "Run in a pod that has a service account, or name a kubeconfig that kubectl can use.",
        ) from None


async def _load_pod(configuration: Configuration) -> Reload:
    async def reload() -> None:
        # Its own refreshing would fail a request while the kubelet replaces the file.
        kube_config.load_incluster_config(  # type: ignore[no-untyped-call]  # it has no types
            configuration, try_refresh_token=False
        )

    await reload()
    return reload


async def _load_file(configuration: Configuration, source: str, context: str | None) -> Reload:
    if not _any_file(source):
        raise FileNotFoundError(source)
    loader = await kube_config.load_kube_config(  # type: ignore[no-untyped-call]  # it has no types
        config_file=source,
        context=context,
        client_configuration=configuration,
        persist_config=False,
    )

    async def reload() -> None:
        # Runs an exec plugin or asks an OIDC issuer only when what they gave has expired.
        await loader.load_and_set(configuration)

    return reload


def _any_file(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


class Api:
    """The API server.

    Must be made inside a running event loop.

    Args:
        configuration: where the API server is and how to authenticate, filled in.
        reload: reads the credentials into the configuration again.
        heard: told the `Date` header of each reply.

    Attributes:
        proxy: the URL of the proxy on the way to the API server, if there is one.
    """

    def __init__(
        self, configuration: Configuration, reload: Reload, heard: Callable[[str], None]
    ) -> None:
        self._configuration = configuration
        self._reload = reload
        self._heard = heard
        self._loaded_at = asyncio.get_running_loop().time()
        self._origin = URL(configuration.host).origin()
        self._tls = ssl.create_default_context(
            cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data
        )
        # Authorities of real clusters lack extensions that Python 3.13 and later insist on:
        # https://github.com/kubernetes-client/python/issues/2394
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not configuration.verify_ssl:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        self._load_client_certificate()
        self.proxy: str | None = configuration.proxy or _proxy_for(configuration.host)
        self._session = self._open()

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at the end."""
        host: str = self._configuration.host
        return host

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
            # A redirect elsewhere must not take the credentials along.
            ours = request.url.origin() == self._origin
            if ours:
                await self._authorize(request, RELOAD_EVERY)
                request.server_hostname = self._configuration.tls_server_name
            response = await handler(request)
            if (
                ours
                and response.status == HTTPStatus.UNAUTHORIZED
                and await self._authorize(request, RELOAD_REFUSED)
            ):
                response.release()
                response = await handler(request)
            return response

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),  # the callers limit themselves
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            middlewares=(*around, send),
            proxy=self.proxy,
            trust_env=False,  # else netrc is read in a thread at each request
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
        accept: str = "application/json",
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
            raise _refusal(response.status, content)
        return _parse_object(response.status, content)

    async def pages(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        accept: str = "application/json",
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
        query: Sequence[tuple[str, str]],
        accept: str = "application/json",
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
                raise _refusal(response.status, content)
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
                    yield _parse_object(response.status, event)
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

    async def _authorize(self, request: aiohttp.ClientRequest, max_age: timedelta) -> bool:
        """Set the header from credentials of this age at most; return whether that changed it."""
        authorization = await self._authorization(max_age)
        if not authorization or authorization == request.headers.get("Authorization"):
            return False
        request.headers["Authorization"] = authorization
        return True

    async def _authorization(self, max_age: timedelta) -> str | None:
        now = asyncio.get_running_loop().time()
        if now - self._loaded_at >= max_age.total_seconds():
            # Before the first await, so that of many requests one reloads.
            self._loaded_at = now
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT.total_seconds()):  # plugins may hang
                    await self._reload()
                self._load_client_certificate()
            except Exception as error:  # noqa: BLE001 - as in `connect`
                # What is known may still be good; if not, the API server will say so.
                logger.warning("Credentials cannot be read again: %s", type(error).__name__)
        value: str | None = await self._configuration.get_api_key_with_prefix("BearerToken")
        return value.strip() if value else None

    def _load_client_certificate(self) -> None:
        if self._configuration.cert_file:
            self._tls.load_cert_chain(self._configuration.cert_file, self._configuration.key_file)


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


def _parse_object(status: int, content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:  # the latter from a page of brackets
        raise ApiError(status, "InvalidReply", "The reply is not JSON") from error
    if not isinstance(parsed, dict):
        raise ApiError(status, "InvalidReply", "The reply is not a JSON object")
    return parsed


def _refusal(status: int, content: bytes) -> ApiError:
    """Return the Status object as an error; a proxy's page is told in our own words."""
    try:
        told = _parse_object(status, content)
    except ApiError:
        told = {}
    try:
        phrase = HTTPStatus(status).phrase.replace(" ", "")
    except ValueError:
        phrase = "Unknown"
    return ApiError(
        status,
        _one_line(told.get("reason")) or phrase,
        _one_line(told.get("message")) or "The reply is not a Status object",
    )


def _one_line(text: object) -> str:
    """Return what may be told of a text: a webhook's message has any length and line breaks."""
    return " ".join(text[:MAX_MESSAGE].split()) if isinstance(text, str) else ""


def _proxy_for(server: str) -> str | None:
    """Return the proxy that the environment asks for, as Go programs would read it."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    proxies = getproxies()
    if host == "localhost" or proxy_bypass(parts.netloc) or proxy_bypass(host):
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return proxies.get(parts.scheme)
    # `proxy_bypass` knows no networks, and a cluster's NO_PROXY usually names its services so.
    for entry in proxies.get("no", "").split(","):
        try:
            if address in ipaddress.ip_network(entry.strip(), strict=False):
                return None
        except ValueError:
            continue
    return None if address.is_loopback else proxies.get(parts.scheme)
