"""A small HTTP/1.1 server for a few short requests: asyncio's streams, parsed by h11.

aiohttp, which serves the operator's probes, would take a third of the sidecar's memory budget and
most of its start-up time; h11 is loaded anyway, by httpx.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import h11

from pinecone_token_operator.runtime.listening import listen_everywhere

_MAX_HEAD: Final = 16 * 1024
_MAX_BODY: Final = 16 * 1024
_MAX_CONNECTIONS: Final = 64
# For a whole request, and for the pause before it on a connection that is kept open.
_REQUEST_SECONDS: Final = 10.0
_CHUNK: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; `repr` shows neither headers nor body.

    Attributes:
        method: in upper case.
        path: decoded, without the query.
        headers: by lower-case name; the last one of a name counts.
        body: at most 16 KiB.
        query: as it was sent.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    query: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response; `repr` does not show the body."""

    status: HTTPStatus
    body: bytes = field(repr=False)
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Handle = Callable[[HttpRequest], HttpResponse]


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; an empty host means all of them.

    Raises:
        OSError: the address is in use, or is not this machine's.
    """
    if not host:
        return listen_everywhere(port)
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_MAX_CONNECTIONS)
    except BaseException:
        listener.close()
        raise
    return listener


class HttpServer:
    """Answers requests until it is closed. Nothing is logged.

    Args:
        handle: returns the response to a request; must not block.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        """Serve on a socket."""
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=_CHUNK)

    async def aclose(self) -> None:
        """Stop listening, and end all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= _MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            # Only `aclose` cancels, and asyncio would log that.
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                await _Connection(self._handle, reader, writer).run()
        finally:
            self._connections.discard(task)
            writer.close()


class _Connection:
    def __init__(
        self, handle: Handle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._handle = handle
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)

    async def run(self) -> None:
        """Answer requests until either side closes the connection."""
        while True:
            async with asyncio.timeout(_REQUEST_SECONDS):
                try:
                    request = await self._read()
                    if request is None:
                        return
                    response = self._handle(request)
                except _Unacceptable as error:
                    response = _plain(error.status)
                except h11.RemoteProtocolError as error:
                    response = _plain(HTTPStatus(error.error_status_hint))
                await self._send(response)
            if self._http.our_state is h11.MUST_CLOSE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _read(self) -> HttpRequest | None:
        """Return the next request; None if the client has closed the connection."""
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        body = b""
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Data):
                body += event.data
                if len(body) > _MAX_BODY:
                    raise _Unacceptable(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return None
        path, _, query = head.target.decode("ascii").partition("?")
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        return HttpRequest(head.method.decode("ascii"), unquote(path), headers, body, query)

    async def _next_event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._reader.read(_CHUNK))

    async def _send(self, response: HttpResponse) -> None:
        fields = {
            "Date": formatdate(usegmt=True),
            "Content-Type": response.content_type,
            "Content-Length": str(len(response.body)),
            **response.headers,
        }
        if self._http.their_state is not h11.DONE:
            fields["Connection"] = "close"  # the rest of the request is not read
        head = h11.Response(
            status_code=response.status,
            headers=list(fields.items()),
            reason=response.status.phrase.encode(),
        )
        self._write(head, h11.Data(data=response.body), h11.EndOfMessage())
        await self._writer.drain()

    def _write(self, *events: h11.Event) -> None:
        # In one piece, so that a small response is one packet.
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))


class _Unacceptable(Exception):  # noqa: N818 - an answer, not an error
    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


def _plain(status: HTTPStatus) -> HttpResponse:
    return HttpResponse(status, f"{status.phrase}\n".encode())
