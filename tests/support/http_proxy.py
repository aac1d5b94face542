"""An HTTP or HTTPS proxy for tests: a real server on loopback that opens tunnels."""

import asyncio
import base64
import contextlib
import ssl
from pathlib import Path

from tests.support.certificates import make_certificates
from tests.support.loop_thread import LoopServer, close_server


class HttpProxy(LoopServer):
    """A proxy that opens tunnels by CONNECT and counts them.

    Args:
        certificates: where its certificate is or goes, for a proxy that is reached over TLS.
        credentials: the user name and the password that it asks for.
        routes: where a tunnel ends instead of where it is asked to, by `host:port`.

    Attributes:
        routes: as given; changes hold for new tunnels.
        targets: `host:port` of every tunnel that was asked for.
        refusal: the status line with which all tunnels are refused, such as `403 No`.
    """

    def __init__(
        self,
        certificates: Path | None = None,
        *,
        credentials: tuple[str, str] | None = None,
        routes: dict[str, str] | None = None,
    ) -> None:
        super().__init__("proxy")
        self.targets: list[str] = []
        self.refusal = ""
        self._certificates = certificates
        self._credentials = credentials
        self.routes = routes or {}
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    @property
    def address(self) -> str:
        """The proxy's `host:port`."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        """The proxy's URL, without credentials."""
        return f"{'https' if self._certificates else 'http'}://{self.address}"

    def cut(self) -> None:
        """Cut all tunnels."""
        self._loop.call(self._cut())

    async def _open(self) -> None:
        context = None
        if self._certificates:
            make_certificates(self._certificates)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf = self._certificates / "leaf.pem"
            context.load_cert_chain(leaf, self._certificates / "leaf.key")
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)

    async def _close(self) -> None:
        assert self._server is not None
        await close_server(self._server)
        await self._cut()

    async def _cut(self) -> None:
        for writers in self._connections.values():
            for writer in writers:
                writer.transport.abort()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writers = [writer]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._tunnel(reader, writers)
        for each in writers:
            each.close()
            with contextlib.suppress(OSError):
                await each.wait_closed()
        del self._connections[task]

    async def _tunnel(
        self, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]
    ) -> None:
        (writer,) = writers
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        self.targets.append(target)
        refusal = self.refusal or self._challenge(fields.get("proxy-authorization", ""))
        if refusal or method != "CONNECT":
            writer.write(f"HTTP/1.1 {refusal or '405 No'}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        host, _, port = self.routes.get(target, target).rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writers.append(back)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_copy(reader, back), _copy(there, writer))

    def _challenge(self, authorization: str) -> str:
        if self._credentials is None:
            return ""
        expected = base64.b64encode(":".join(self._credentials).encode()).decode()
        if authorization == f"basic {expected}".lower():
            return ""
        return "407 Proxy Authentication Required"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(65_536):
            writer.write(content)
            await writer.drain()
    writer.close()
