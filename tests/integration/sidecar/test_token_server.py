"""The loopback token endpoint, asked by real clients and by hostile ones."""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pinecone
import pytest

from tests.integration.sidecar.conftest import StartSidecar
from tests.support.sidecar_process import Sidecar, request
from tests.support.token_endpoint import TokenEndpoint

ADDRESS = "--token-address=127.0.0.1:0"
BODY = b'{"grant_type": "client_credentials", "client_id": "any", "client_secret": "any"}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def one(sidecar: StartSidecar) -> Sidecar:
    started = sidecar(ADDRESS, output=False)
    started.wait(lambda: started.ask()[0] == 200, "a token")
    return started


def curl(*arguments: str) -> dict[str, object]:
    program = shutil.which("curl")
    assert program, "curl is needed"
    done = subprocess.run(
        [program, "--silent", "--show-error", "--fail", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--json", BODY.decode()), id="JSON"),
        pytest.param(
            ("-d", "grant_type=client_credentials", "-d", "client_id=x", "-d", "client_secret=y"),
            id="form",
        ),
        pytest.param(("-d", "grant_type=client_credentials", "-u", "x:y"), id="basic auth"),
    ],
)
def test_curl_gets_the_current_token(
    one: Sidecar, endpoint: TokenEndpoint, arguments: tuple[str, ...]
) -> None:
    reply = curl(f"http://{one.address('POST')}/oauth/token", *arguments)
    left = endpoint.issued[endpoint.tokens[0]].expires_at - time.monotonic()

    assert reply["access_token"] == endpoint.tokens[0]
    assert reply["token_type"] == "Bearer"
    assert isinstance(reply["expires_in"], int)
    assert left - 3 <= reply["expires_in"] <= left + 1
    assert endpoint.exchanges == 1


class AdminApi(BaseHTTPRequestHandler):
    """An Admin API with one organization; it notes each request's token."""

    tokens: list[str]

    def do_GET(self) -> None:
        self.tokens.append(self.headers["Authorization"].removeprefix("Bearer "))
        body = json.dumps({"data": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def admin_api() -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    handler = type("Handler", (AdminApi,), {"tokens": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


def test_pinecone_admin_client_uses_the_sidecars_token(
    one: Sidecar, endpoint: TokenEndpoint, admin_api: tuple[str, list[str]]
) -> None:
    host, seen = admin_api
    with pinecone.Admin(
        client_id="unused",
        client_secret="unused",
        host=host,
        oauth_url=f"http://{one.address('POST')}/oauth/token",
    ) as admin:
        assert list(admin.organizations.list()) == []

    assert seen == endpoint.tokens
    assert endpoint.exchanges == 1


def test_no_token_gives_503_with_retry_after(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    endpoint.mode = "503-html"
    one = sidecar(ADDRESS, output=False)
    address = one.address("POST")
    status, headers, body = request(address, "POST", "/oauth/token", JSON, BODY)

    assert status == 503
    assert 1 <= int(headers["retry-after"]) <= 30
    assert json.loads(body)["error"] == "temporarily_unavailable"
    endpoint.mode = "ok"
    one.wait(lambda: one.ask()[0] == 200, "a token")


def test_expired_token_is_not_served(sidecar: StartSidecar, endpoint: TokenEndpoint) -> None:
    endpoint.lifetime = 4
    one = sidecar(ADDRESS, output=False)
    one.wait(lambda: one.ask()[0] == 200, "a token")
    endpoint.mode = "down"
    served = []

    def is_refused() -> bool:
        status, reply = one.ask()
        if status == 200:
            served.append((time.monotonic(), reply))
        return status == 503

    one.wait(is_refused, "expiry")
    for at, reply in served:
        assert at + reply["expires_in"] <= endpoint.issued[reply["access_token"]].expires_at + 0.1


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "error"),
    [
        pytest.param("GET", "/oauth/token", {}, None, 405, "invalid_request", id="GET"),
        pytest.param("POST", "/", JSON, BODY, 404, "not_found", id="other path"),
        pytest.param(
            "POST",
            "/oauth/token",
            {**JSON, "Host": "attacker.example:8181"},
            BODY,
            403,
            "access_denied",
            id="DNS rebinding",
        ),
        pytest.param(
            "POST",
            "/oauth/token",
            {**JSON, "Origin": "https://attacker.example"},
            BODY,
            403,
            "access_denied",
            id="page in a browser",
        ),
        pytest.param(
            "POST", "/oauth/token", JSON, b"{}", 400, "invalid_request", id="no grant type"
        ),
        pytest.param(
            "POST", "/oauth/token", JSON, b"[" * 9000, 400, "invalid_request", id="nested JSON"
        ),
        pytest.param(
            "POST",
            "/oauth/token",
            JSON,
            b'{"grant_type": "password"}',
            400,
            "unsupported_grant_type",
            id="other grant type",
        ),
    ],
)
def test_other_requests_are_refused_without_the_token(
    one: Sidecar,
    endpoint: TokenEndpoint,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
    status: int,
    error: str,
) -> None:
    answer, fields, content = request(one.address("POST"), method, path, headers, body)
    assert (answer, json.loads(content)["error"]) == (status, error)
    assert fields["cache-control"] == "no-store"
    assert endpoint.tokens[0].encode() not in content


def test_large_requests_are_refused(one: Sidecar) -> None:
    address = one.address("POST")
    assert request(address, "POST", "/oauth/token", JSON, b" " * 20_000)[0] == 413
    assert request(address, "GET", "/oauth/token", {"X": "x" * 40_000})[0] == 431
    assert one.ask()[0] == 200


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\x16\x03\x01\x02\x00", id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two hosts"),
        pytest.param(b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\n", id="half a request"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_garbage_does_not_disturb_others(one: Sidecar, text: bytes) -> None:
    host, _, port = one.address("POST").rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        while connection.recv(4096):
            pass
    assert one.ask()[0] == 200


def test_silent_connections_do_not_block_others(one: Sidecar) -> None:
    host, _, port = one.address("POST").rpartition(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(30)]
    try:
        assert one.ask()[0] == 200
        code, seconds = one.stop()
        assert (code, seconds < 1.0) == (0, True)
    finally:
        for connection in silent:
            connection.close()


def test_connection_is_kept_open_between_requests(one: Sidecar) -> None:
    host, _, port = one.address("POST").rpartition(":")
    with contextlib.closing(http.client.HTTPConnection(host, int(port))) as client:
        client.connect()
        connection = client.sock
        for _ in range(3):
            client.request("POST", "/oauth/token", BODY, JSON)
            response = client.getresponse()
            assert (response.status, bool(response.read())) == (200, True)
            assert client.sock is connection


def test_requests_are_not_logged(one: Sidecar) -> None:
    before = one.text()
    one.ask({"grant_type": "client_credentials", "client_secret": "typed-by-mistake"})
    request(one.address("POST"), "GET", "/secret-path")
    assert one.text() == before
