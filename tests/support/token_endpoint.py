"""A token endpoint for tests: a real HTTPS server on loopback that can fail in many ways.

It runs in a thread of its own, so that tests of any kind can use it, or as a program:

    python -m tests.support.token_endpoint --port 8443 --lifetime 60 --latency 0 --directory /tmp/x

which prints one line of JSON with its addresses. `control_url` is a listener of its own, in plain
HTTP, because the main one is gone in mode 'down'.
"""

import argparse
import asyncio
import base64
import contextlib
import ipaddress
import json
import ssl
import tempfile
import threading
import time
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

T = TypeVar("T")

TOKEN_PREFIX = "pcsk-test-token-"

# Replies that refuse: status, `error`, further headers.
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
    *("ok", "down", "503-html", "hang", "drip", "truncated", "no-expires-in", "negative"),
    *("text-expires", "long-expires", "huge", "redirect", "bad-token-type"),
    *_REFUSALS,
)


class TokenEndpoint:
    """A token endpoint that counts what it served.

    Attributes:
        credentials: client secrets by client id; None accepts anything that is not empty.
        exchanges: how many tokens were sent.
        requests: client id and monotonic time of every exchange request, refused ones too.
        tokens: every token sent.
        ca_bundle: a PEM file of the authority that signed the certificate.
        url: the token endpoint. control_url: where `/_control/...` is, in plain HTTP.
    """

    def __init__(
        self,
        lifetime: int = 1800,
        latency: float = 0.0,
        *,
        tls: bool = True,
        port: int = 0,
        directory: Path | None = None,
    ) -> None:
        self.lifetime = lifetime
        self.latency = latency
        self.credentials: dict[str, str] | None = None
        self.exchanges = 0
        self.requests: list[tuple[str, float]] = []
        self.tokens: list[str] = []
        self.url = ""
        self.control_url = ""
        self._tls = tls
        self._port = port
        self._own_directory = (
            tempfile.TemporaryDirectory(prefix="token-endpoint-") if directory is None else None
        )
        self._directory = directory or Path(self._own_directory.name)  # type: ignore[union-attr]
        self.ca_bundle = self._directory / "ca.pem"
        make_certificates(self._directory)
        self._mode = "ok"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._control: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    # Life

    def start(self) -> Self:
        self._thread.start()
        self._call(self._open())
        return self

    def stop(self) -> None:
        self._call(self._close(control=True))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
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
        self._call(self._set_mode(mode))

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    async def _set_mode(self, mode: str) -> None:
        if mode not in MODES:
            raise ValueError(f"no such mode: {mode}")
        self._mode = mode
        if mode == "down":
            await self._close(control=False)
        elif self._server is None:
            await self._open()

    async def _open(self) -> None:
        context = None
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._directory / "leaf.pem", self._directory / "leaf.key")
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, ssl=context, backlog=1024
        )
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/oauth/token"
        if self._control is None:
            self._control = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            control_port = self._control.sockets[0].getsockname()[1]
            self.control_url = f"http://127.0.0.1:{control_port}"

    async def _close(self, *, control: bool) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if control and self._control is not None:
            self._control.close()
            self._control = None
        tasks = [task for task in self._connections if task is not asyncio.current_task()]
        for task in tasks:
            self._connections[task].transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
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
        mode = self._mode
        if mode == "hang":
            await asyncio.Event().wait()
        if mode == "503-html":
            await _send(writer, 503, b"<html>" + secret.encode() + b"</html>", "text/html")
        elif mode == "redirect":
            await _send_json(writer, 307, {}, {"Location": self.url})
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
            return await self._send_token(writer, mode)
        return True

    def _accepts(self, client_id: str, secret: str) -> bool:
        if self.credentials is None:
            return bool(client_id and secret)
        return bool(secret) and self.credentials.get(client_id) == secret

    async def _send_token(self, writer: asyncio.StreamWriter, mode: str) -> bool:
        token = f"{TOKEN_PREFIX}{uuid.uuid4().hex}"
        reply: dict[str, Any] = {
            "access_token": token,
            "expires_in": self.lifetime,
            "token_type": "Bearer",
        }
        if mode == "no-expires-in":
            del reply["expires_in"]
        elif mode == "negative":
            reply["expires_in"] = -1
        elif mode == "text-expires":
            reply["expires_in"] = str(self.lifetime)
        elif mode == "long-expires":
            # The reply claims a day more than the JWT says.
            reply["expires_in"] = self.lifetime + 86400
            reply["access_token"] = token = _make_jwt(token, int(time.time()) + self.lifetime)
        elif mode == "bad-token-type":
            reply["token_type"] = "mac"
        elif mode == "huge":
            reply["padding"] = "x" * (10 * 1024 * 1024)
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
                await asyncio.sleep(0.25)
            return True
        self.exchanges += 1
        await _send_json(writer, 200, reply)
        return True


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


def make_certificates(directory: Path) -> None:
    """Write `ca.pem`, `leaf.pem` and `leaf.key` into a directory, unless they are there."""
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "leaf.key").exists():
        return
    ca_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token endpoint test CA")])
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token endpoint")])
    now = datetime.now(UTC)

    def begin(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
                critical=False,
            )
        )

    ca_usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    ca = (
        begin(ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(ca_usage, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = (
        begin(leaf_name, leaf_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "ca.pem").write_bytes(ca.public_bytes(pem))
    (directory / "leaf.pem").write_bytes(leaf.public_bytes(pem))
    (directory / "leaf.key").write_bytes(
        leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


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
