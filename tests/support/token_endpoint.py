"""A token endpoint for tests: a real HTTPS server that can fail in many ways, usually on loopback.

It runs in a thread of its own, so that any kind of test can use it, or as a program:

    python -m tests.support.token_endpoint --port 8443 --lifetime 60 --latency 0 --directory /tmp/x

which prints its addresses as one line of JSON. `control_url` is a separate listener, with plain
HTTP, because the main one is closed in mode 'down'.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import ssl
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.certificates import make_certificates
from tests.support.loop_thread import LoopThread, close_server

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN_PREFIX = "pcsk-test-token-"

# Refusals: status, `error`, further headers.
_REFUSALS: dict[str, tuple[int, str, dict[str, str]]] = {
    "500-access-denied": (500, "access_denied", {}),
    "429": (429, "too_many_requests", {}),
    "429-retry-after": (429, "too_many_requests", {"Retry-After": "7"}),
    "400": (400, "invalid_request", {}),
    "401": (401, "access_denied", {}),
    "403": (403, "unauthorized_client", {}),
    "404": (404, "not_found", {}),
}

MODES = (
    *(
        "ok",
        "down",
        "503-html",
        "403-html",
        "hang",
        "drip",
        "truncated",
        "no-expires-in",
        "negative",
    ),
    *("text-expires", "word-expires", "long-expires", "huge", "redirect", "bad-token-type"),
    "expired-certificate",
    *_REFUSALS,
)

_OF_USE = ("ok", "text-expires", "long-expires")
_CERTIFICATES = {"expired-certificate": "expired"}


@dataclass(frozen=True, slots=True)
class Issue:
    """When a token was issued, and when it expires; monotonic seconds."""

    client_id: str
    issued_at: float
    expires_at: float


class TokenEndpoint:
    """A token endpoint that counts what it served.

    Attributes:
        credentials: client secrets by client id; None accepts anything that is not empty.
        exchanges: how many tokens were sent.
        requests: client id and monotonic time of every exchange request, refused ones too.
        tokens: every token sent.
        issued: of each token that came in a reply of use, whose it is and when.
        connections: how many connections were opened to the endpoint.
        strayed: how many requests followed a redirect to another host.
        reply: makes the reply to a client id instead of the mode: status, headers and body.
        ca_bundle: a PEM file of the authority that signed the certificate.
        url: the token endpoint, at the host. control_url: where `/_control/...` is, in plain HTTP.
    """

    def __init__(
        self,
        lifetime: int = 1800,
        latency: float = 0.0,
        *,
        tls: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        directory: Path | None = None,
    ) -> None:
        self.lifetime = lifetime
        self.latency = latency
        self.credentials: dict[str, str] | None = None
        self.exchanges = 0
        self.requests: list[tuple[str, float]] = []
        self.tokens: list[str] = []
        self.issued: dict[str, Issue] = {}
        self.connections = 0
        self.strayed = 0
        self.reply: Callable[[str], tuple[int, dict[str, str], bytes]] | None = None
        self.url = ""
        self.control_url = ""
        self._tls = tls
        self._host = host
        self._port = port
        self._own_directory = (
            tempfile.TemporaryDirectory(prefix="token-endpoint-") if directory is None else None
        )
        self._directory = directory or Path(self._own_directory.name)  # type: ignore[union-attr]
        self.ca_bundle = self._directory / "ca.pem"
        make_certificates(self._directory, host)
        self._mode = "ok"
        self._loop = LoopThread("token endpoint")
        self._server: asyncio.Server | None = None
        self._certificate = "leaf"
        self._control: asyncio.Server | None = None
        self._elsewhere: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    # Life

    def start(self) -> Self:
        self._loop.start()
        self._loop.call(self._open())
        return self

    def stop(self) -> None:
        self._loop.call(self._close(control=True))
        self._loop.stop()
        if self._own_directory is not None:
            self._own_directory.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def mode(self) -> str:
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self._loop.call(self._set_mode(mode))

    async def _set_mode(self, mode: str) -> None:
        if mode not in MODES:
            raise ValueError(f"no such mode: {mode}")
        self._mode = mode
        certificate = _CERTIFICATES.get(mode, "leaf")
        if mode == "down" or certificate != self._certificate:
            await self._close(control=False)
        self._certificate = certificate
        if mode != "down" and self._server is None:
            await self._open()

    async def _open(self) -> None:
        context = self._tls_context(self._certificate) if self._tls else None
        self._server = await asyncio.start_server(
            self._serve, self._host, self._port, ssl=context, backlog=1024
        )
        self._port = self._server.sockets[0].getsockname()[1]
        scheme = "https" if self._tls else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{scheme}://{host}:{self._port}/oauth/token"
        if self._control is None:
            self._control = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            control_port = self._control.sockets[0].getsockname()[1]
            self.control_url = f"http://127.0.0.1:{control_port}"
        if self._elsewhere is None:
            self._elsewhere = await asyncio.start_server(
                self._count_stray, "127.0.0.1", 0, ssl=self._tls_context("leaf")
            )

    def _tls_context(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        return context

    async def _close(self, *, control: bool) -> None:
        servers, self._server = [self._server], None
        if control:
            servers += [self._control, self._elsewhere]
            self._control = self._elsewhere = None
        for server in servers:
            if server is not None:
                await close_server(server)
        tasks = [task for task in self._connections if task is not asyncio.current_task()]
        for task in tasks:
            self._connections[task].transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def open_connections(self) -> int:
        """Return how many connections are open now."""
        return len(self._connections)

    async def _count_stray(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.strayed += 1
        writer.close()

    # HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        self.connections += 1
        broken = (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError)
        # A cancelled connection ends quietly: only _close cancels, and it knows.
        with contextlib.suppress(*broken, asyncio.CancelledError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(*broken, asyncio.CancelledError):
            await writer.wait_closed()
        del self._connections[task]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection can be used further."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        fields = dict(line.lower().split(":", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        if target.startswith("/_control/"):
            await self._answer_control(writer, method, target)
        elif (method, target) != ("POST", "/oauth/token"):
            await _send_json(writer, 404, {"error": "not_found"})
        else:
            return await self._answer_exchange(writer, body)
        return True

    async def _answer_control(self, writer: asyncio.StreamWriter, method: str, target: str) -> None:
        parts = urlsplit(target)
        if (method, parts.path) == ("PUT", "/_control/mode"):
            try:
                await self._set_mode(parse_qs(parts.query).get("value", [""])[0])
            except ValueError as error:
                await _send_json(writer, 400, {"error": str(error)})
                return
        stats = {
            "mode": self._mode,
            "exchanges": self.exchanges,
            "requests": len(self.requests),
        }
        await _send_json(writer, 200, stats)

    async def _answer_exchange(self, writer: asyncio.StreamWriter, body: bytes) -> bool:
        request = json.loads(body)
        client_id, secret = request.get("client_id", ""), request.get("client_secret", "")
        self.requests.append((client_id, time.monotonic()))
        if self.latency:
            await asyncio.sleep(self.latency)
        if self.reply is not None:
            status, headers, content = self.reply(client_id)
            await _send(writer, status, content, headers.pop("Content-Type", ""), headers)
            return True
        mode = self._mode
        if mode == "hang":
            await asyncio.Event().wait()
        if mode.endswith("-html"):
            page = b"<html>" + secret.encode() + b"</html>"
            await _send(writer, int(mode.split("-")[0]), page, "text/html")
        elif mode == "redirect":
            assert self._elsewhere is not None
            port = self._elsewhere.sockets[0].getsockname()[1]
            location = f"https://localhost:{port}/oauth/token"
            await _send_json(writer, 307, {}, {"Location": location})
        elif mode in _REFUSALS:
            status, code, headers = _REFUSALS[mode]
            # A bad endpoint echoes what it was sent; nothing of this may reach a log.
            await _send_json(
                writer, status, {"error": code, "error_description": f"bad {secret}"}, headers
            )
        elif not self._accepts(client_id, secret):
            await _send_json(
                writer, 401, {"error": "access_denied", "error_description": f"bad {secret}"}
            )
        else:
            return await self._send_token(writer, mode, client_id)
        return True

    def _accepts(self, client_id: str, secret: str) -> bool:
        if self.credentials is None:
            return bool(client_id and secret)
        return bool(secret) and self.credentials.get(client_id) == secret

    async def _send_token(self, writer: asyncio.StreamWriter, mode: str, client_id: str) -> bool:
        issued_at = time.monotonic()
        reply = self._reply(mode)
        token = reply["access_token"]
        self.tokens.append(token)
        if mode == "truncated":
            text = json.dumps(reply).encode()
            writer.write(_head(200, len(text) + 100, "application/json", {}) + text)
            await writer.drain()
            return False
        if mode == "drip":
            text = json.dumps(reply).encode()
            writer.write(_head(200, len(text), "application/json", {}))
            for byte in text:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1.0)
            return True
        self.exchanges += 1
        if mode in _OF_USE:
            self.issued[token] = Issue(client_id, issued_at, issued_at + self.lifetime)
        await _send_json(writer, 200, reply)
        return True

    def _reply(self, mode: str) -> dict[str, Any]:
        token = f"{TOKEN_PREFIX}{uuid.uuid4().hex}"
        expires_in: dict[str, object] = {
            "negative": -1,
            "text-expires": str(self.lifetime),
            "word-expires": "soon",
            "long-expires": self.lifetime + 86400,  # a day more than the JWT says
        }
        reply: dict[str, Any] = {
            "access_token": token,
            "expires_in": expires_in.get(mode, self.lifetime),
            "token_type": "mac" if mode == "bad-token-type" else "Bearer",
        }
        if mode == "no-expires-in":
            del reply["expires_in"]
        elif mode == "long-expires":
            reply["access_token"] = _make_jwt(token, int(time.time()) + self.lifetime)
        elif mode == "huge":
            reply["padding"] = "x" * (10 * 1024 * 1024)
        return reply


def _head(status: int, length: int, content_type: str, headers: dict[str, str]) -> bytes:
    date = formatdate(usegmt=True)
    fields = {"Date": date, "Content-Type": content_type, "Content-Length": str(length), **headers}
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    content_type: str,
    headers: dict[str, str] | None = None,
) -> None:
    writer.write(_head(status, len(body), content_type, headers or {}) + body)
    await writer.drain()


async def _send_json(
    writer: asyncio.StreamWriter,
    status: int,
    value: dict[str, Any],
    headers: dict[str, str] | None = None,
) -> None:
    await _send(writer, status, json.dumps(value).encode(), "application/json", headers)


def _make_jwt(token: str, expiry: int) -> str:
    # The header's place holds the token's unique text, so that a scan for the prefix finds it.
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
    return f"{token}.{payload}.signature"


def main() -> None:
    parser = argparse.ArgumentParser(description="A token endpoint for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--lifetime", type=int, default=1800, help="seconds")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--directory", type=Path, help="where the certificates are or go")
    options = parser.parse_args()
    with TokenEndpoint(
        options.lifetime, options.latency, port=options.port, directory=options.directory
    ) as endpoint:
        addresses = {
            "url": endpoint.url,
            "control_url": endpoint.control_url,
            "ca_bundle": str(endpoint.ca_bundle),
        }
        print(json.dumps(addresses), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
