"""An HTTPS server on loopback that has one release archive and fails in the ways servers do.

with ReleaseServer(directory, "envtest.tar.gz", content) as server:
    server.mode = "truncated"
"""

import hashlib
import io
import ssl
import sys
import tarfile
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.support.certificates import make_certificates

MODES = ("good", "404", "truncated", "hangs", "stalls half-way", "breaks half-way")


class _QuietServer(ThreadingHTTPServer):
    """Does not log clients that reject the certificate or disconnect, which some tests cause."""

    daemon_threads = False  # so that closing waits for them

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class ReleaseServer:
    """The server, in threads of its own.

    Attributes:
        url: its base URL.
        ca_file: certificates that vouch for it.
        mode: how it answers; one of `MODES`, or a URL to redirect to.
        requests: the paths that were asked for.
        reached: set once half of an archive was sent.
        released: lets a server in mode "stalls half-way" go on.
    """

    def __init__(self, directory: Path, path: str, content: bytes) -> None:
        make_certificates(directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "leaf.pem", directory / "leaf.key")
        self.ca_file = directory / "ca.pem"
        self.mode = "good"
        self.requests: list[str] = []
        self.reached = threading.Event()
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                if self.path == f"/{path}":
                    server.answer(self, content)
                else:
                    self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="releases", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        """Answer a request for the archive."""
        if self.mode == "hangs":
            self.released.wait()
            return
        if self.mode not in MODES:
            handler.send_response(302)
            handler.send_header("Location", self.mode)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if self.mode == "404":
            handler.send_error(404)
            return
        half = len(content) // 2
        handler.send_response(200)
        if self.mode != "truncated":  # without a length, only the checksum tells
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:half])
        self.reached.set()
        if self.mode == "stalls half-way":
            self.released.wait()
        if self.mode in {"good", "stalls half-way"}:
            handler.wfile.write(content[half:])


def make_archive(programs: Iterable[str]) -> tuple[bytes, str]:
    """Return an archive laid out like envtest's, and its SHA-512."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in programs:
            content = f"#!/bin/sh\necho {name}\n".encode()
            member = tarfile.TarInfo(f"controller-tools/envtest/{name}")
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    content = buffer.getvalue()
    return content, hashlib.sha512(content).hexdigest()
