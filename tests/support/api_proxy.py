"""A reverse proxy in front of the API server that simulates faults of the network and the server.

    with ApiProxy(cluster.url, cluster.ca_file, tmp_path, ["operator-0", "operator-1"]) as proxy:
        proxy.lines["operator-0"].stalled = True

It terminates TLS with a certificate of its own (signed by `ca_file`) and forwards the client's
token, but no client certificates. Each client has a line of its own, with its own faults.
"""

import asyncio
import json
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.support.certificates import make_certificates
from tests.support.documented import PLURAL
from tests.support.kubeconfig import write_kubeconfig
from tests.support.loop_thread import LoopServer, close_server

_POLL_SECONDS = 0.05
# Hop-by-hop headers (RFC 9110 section 7.6.1), and headers that aiohttp sets itself.
_OF_ONE_HOP = {"connection", "host", "keep-alive", "transfer-encoding", "upgrade", "content-length"}

_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}

Handled = web.StreamResponse


class Line:
    """One client's connection to the API server. Any thread may set its faults.

    Attributes:
        url: where the client finds its API server.
        refusal: the status that every request is answered with; None forwards requests.
        refusals: how many requests to refuse before the line recovers; None means all.
        delay: how many seconds each request waits before it is forwarded.
        list_delay: how many more seconds each list waits.
        holds_lists: lists are read from the API server and delivered once this is false again.
        stalled: nothing moves in either direction, and nothing is closed.
        scope: which requests the faults affect: those whose path contains this text.
        closes_watches: each watch ends as soon as it has started.
        expires_watches: each resumed watch gets a 410, alternately as a status and in an event.
        fails_watches: each watch gets a 500 in an event.
        garbles_watches: each watch gets a page of HTML.
        held_lists: how many lists are being held.
        requests: how many requests were made.
        watched_from: the resourceVersion of each watch that was requested.
        silent_watches: watches deliver nothing. Those that are open at any moment of this stay
            silent and open until the client ends them.
    """

    def __init__(self) -> None:
        self.url = ""
        self.scope = ""
        self.refusal: int | None = None
        self.refusals: int | None = None
        self.delay = 0.0
        self.list_delay = 0.0
        self.holds_lists = False
        self.held_lists = 0
        self.stalled = False
        self.closes_watches = False
        self.expires_watches = False
        self.fails_watches = False
        self.garbles_watches = False
        self.requests = 0
        self.watched_from: list[str] = []
        self._silent_watches = False
        self._silences = 0
        self._expired = 0

    @property
    def silent_watches(self) -> bool:
        return self._silent_watches

    @silent_watches.setter
    def silent_watches(self, silent: bool) -> None:
        self._silences += silent
        self._silent_watches = silent

    def silence(self) -> int | None:
        """Return how many silences there have been, for a watch to compare; None during one."""
        return None if self._silent_watches else self._silences

    def take_refusal(self) -> int | None:
        """Return the status to refuse the current request with; None forwards it."""
        refusal = self.refusal
        if refusal is not None and self.refusals is not None:
            self.refusals -= 1
            if self.refusals <= 0:
                self.refusal = self.refusals = None
        return refusal

    def take_expiry(self) -> bool:
        """Return whether the current watch gets its 410 in an event."""
        self._expired += 1
        return self._expired % 2 == 0


class ApiProxy(LoopServer):
    """The proxy, with a line for each name.

    Attributes:
        lines: the lines by name.
        ca_file: the CA of the proxy's certificate.
    """

    def __init__(self, url: str, ca_file: Path, directory: Path, names: Iterable[str]) -> None:
        super().__init__("api proxy")
        make_certificates(directory)
        self.lines = {name: Line() for name in names}
        self.ca_file = directory / "ca.pem"
        self._api = url
        self._api_ca_file = ca_file
        self._directory = directory
        self._servers: dict[str, web.Server] = {}
        self._listeners: list[asyncio.Server] = []
        # By identity: a request is a mapping and so cannot be hashed.
        self._watches: dict[str, dict[int, web.BaseRequest]] = {name: {} for name in self.lines}
        self._session: aiohttp.ClientSession
        self._tls: ssl.SSLContext

    def kubeconfig(self, name: str, token: str) -> Path:
        """Write a kubeconfig for a client that uses this line and this token; return its path."""
        # By number: in KUBECONFIG a colon separates two files.
        path = self._directory / f"kubeconfig-{list(self.lines).index(name)}"
        return write_kubeconfig(path, self.lines[name].url, self.ca_file, {"token": token})

    def cut(self, name: str) -> None:
        """Abort all connections of a line, as a restarting router would."""
        self._loop.call(self._cut(name))

    def cut_watches(self, name: str) -> None:
        """Abort the watches of a line that are in its scope."""
        self._loop.call(self._cut_watches(name))

    def rotate_ca(self, directory: Path) -> Path:
        """Create a new CA in a directory, use it for new connections, and return its file."""
        make_certificates(directory)
        self._tls.load_cert_chain(directory / "leaf.pem", directory / "leaf.key")
        return directory / "ca.pem"

    async def _open(self) -> None:
        trust = ssl.create_default_context(cafile=self._api_ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        tls = self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._directory / "leaf.pem", self._directory / "leaf.key")
        for name, line in self.lines.items():
            server = web.Server(
                self._handler(name, line), handler_cancellation=True, access_log=None
            )
            listener = await asyncio.get_running_loop().create_server(
                server, "127.0.0.1", 0, ssl=tls, backlog=1024
            )
            self._servers[name] = server
            self._listeners.append(listener)
            line.url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        for listener in self._listeners:
            await close_server(listener)
        for name, server in self._servers.items():
            await self._cut(name)
            await server.shutdown(timeout=0.1)
        await self._session.close()

    async def _cut(self, name: str) -> None:
        for connection in list(self._servers[name].connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def _cut_watches(self, name: str) -> None:
        for request in list(self._watches[name].values()):
            if self.lines[name].scope in request.path:
                _abort(request)

    def _handler(self, name: str, line: Line) -> Any:
        async def handle(request: web.BaseRequest) -> Handled:
            is_watch = request.query.get("watch") in {"true", "1"}
            if is_watch:
                self._watches[name][id(request)] = request
                line.watched_from.append(request.query.get("resourceVersion", ""))
            try:
                return await self._handle(line, request, is_watch=is_watch)
            # The client sees a broken connection, whichever of the two it was.
            except (aiohttp.ClientError, OSError):
                _abort(request)
                return web.Response(status=502)
            finally:
                self._watches[name].pop(id(request), None)

        return handle

    async def _handle(self, line: Line, request: web.BaseRequest, *, is_watch: bool) -> Handled:
        line.requests += 1
        await _flowing(line)
        if line.delay:
            await asyncio.sleep(line.delay)
        in_scope = line.scope in request.path
        if line.list_delay and in_scope and not is_watch and _is_list(request):
            await asyncio.sleep(line.list_delay)
        refusal = line.take_refusal() if in_scope else None
        if refusal is not None:
            return web.json_response(_status(refusal), status=refusal)
        if is_watch and in_scope and (fault := _watch_fault(line, request)) is not None:
            return fault
        async with self._session.request(
            request.method,
            URL(self._api + request.raw_path, encoded=True),
            data=await request.read() or None,
            headers=_forwarded(request.headers),
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=_forwarded(answer.headers))
            response.content_length = answer.content_length
            await _flowing(line)
            if "limit" in request.query and in_scope:
                await _hold_list(line)
            silence = line.silence()  # before the client can know that its watch has begun
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await _flowing(line)
                if is_watch and (silence is None or silence != line.silence()):
                    break
                await response.write(chunk)
            else:
                await response.write_eof()
                return response
        # Nothing more is sent, not even the end; the client has to notice.
        await asyncio.Event().wait()
        return response


def _watch_fault(line: Line, request: web.BaseRequest) -> web.Response | None:
    """Return the response to a watch if it is not to be forwarded."""
    if line.closes_watches:
        return web.Response(content_type="application/json")
    if line.fails_watches:
        return _error_event(500)
    if line.garbles_watches:
        return web.Response(text="<html>\n<body>Log in</body>\n", content_type="text/html")
    if line.expires_watches and request.query.get("resourceVersion", "0") != "0":
        if line.take_expiry():
            return _error_event(410)
        return web.json_response(_status(410), status=410)
    return None


def _is_list(request: web.BaseRequest) -> bool:
    return request.method == "GET" and request.path.rpartition("/")[2] in {"secrets", PLURAL}


async def _flowing(line: Line) -> None:
    while line.stalled:  # noqa: ASYNC110 - another thread ends it
        await asyncio.sleep(_POLL_SECONDS)


async def _hold_list(line: Line) -> None:
    line.held_lists += 1
    while line.holds_lists:  # noqa: ASYNC110 - another thread ends it
        await asyncio.sleep(_POLL_SECONDS)
    line.held_lists -= 1


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OF_ONE_HOP}


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _error_event(code: int) -> web.Response:
    event = json.dumps({"type": "ERROR", "object": _status(code)}) + "\n"
    return web.Response(text=event, content_type="application/json")


def _status(code: int) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "simulated by a test",
        "reason": _REASONS[code],
        "code": code,
    }
