"""Consumer mode, and the webhook of both modes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.integration.sidecar.conftest import StartSidecar
from tests.support.sidecar_process import Sidecar, mount_secret
from tests.support.token_endpoint import TokenEndpoint


class Hook(ThreadingHTTPServer):
    """Notes what is posted to it, and answers with the given statuses in turn."""

    def __init__(self, statuses: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = statuses
        self.received: list[dict[str, Any]] = []

    @property
    def option(self) -> str:
        return f"--webhook-url=http://127.0.0.1:{self.server_port}/reload"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.received.append(json.loads(self.rfile.read(length)))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if statuses else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(*statuses: int) -> Iterator[Hook]:
    with Hook(list(statuses)) as hook:
        thread = Thread(target=hook.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield hook
        hook.shutdown()
        thread.join()


def mounted(directory: Path, version: int, seconds: float) -> Path:
    expiry = datetime.now(UTC) + timedelta(seconds=seconds)
    data = {
        "access_token": f"mounted-token-{version}",
        "token_type": "Bearer",
        "expires_at": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return mount_secret(directory, version, data)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "mounted"


def start(tmp_path: Path, source: Path, *options: str) -> Sidecar:
    directory = tmp_path / "sidecar"
    directory.mkdir()
    command = (f"--source-dir={source}", "--token-address=127.0.0.1:0", *options)
    return Sidecar(None, directory, *command, environ={}, forked=True)


def test_mounted_token_is_served_and_followed(tmp_path: Path, source: Path) -> None:
    mounted(source, 1, 600)
    with serving() as hook, start(tmp_path, source, hook.option) as one:
        status, reply = one.ask()
        assert (status, reply["access_token"]) == (200, "mounted-token-1")
        assert 590 < reply["expires_in"] <= 600
        assert hook.received == []  # what was there at start is no renewal

        mounted(source, 2, 900)
        one.wait(lambda: one.ask()[1]["access_token"] == "mounted-token-2", "the new token")
        one.wait(lambda: len(hook.received) == 1, "the webhook")
        assert one.stop()[0] == 0
        assert "mounted-token" not in one.text()


def test_expired_mounted_token_is_not_served(tmp_path: Path, source: Path) -> None:
    mounted(source, 1, -5)
    with start(tmp_path, source, "--health-address=127.0.0.1:0") as one:
        assert one.ask()[0] == 503
        assert one.get("/readyz") == (503, "the token has expired\n")
        mounted(source, 2, 600)
        one.wait(lambda: one.get("/readyz")[0] == 200, "readiness")


def test_source_that_disappears_keeps_the_last_token(tmp_path: Path, source: Path) -> None:
    mounted(source, 1, 600)
    with start(tmp_path, source, "--health-address=127.0.0.1:0") as one:
        one.wait(lambda: one.ask()[0] == 200, "the token")
        source.rename(source.with_name("away"))
        one.wait_for_line("Cannot read the token")
        assert one.ask()[0] == 200
        assert 'reason="TokenMissing"} 0.0' in one.get("/metrics")[1]
        assert one.text().count("Cannot read the token") == 1


def test_webhook_gets_the_expiry_and_is_retried(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    with serving(500) as hook:
        one = sidecar(hook.option)
        token = one.wait_for_token()
        one.wait(lambda: len(hook.received) == 2, "a second call")
        expiry = (one.output / "expires_at").read_text()

    assert hook.received == [{"event": "renewed", "expires_at": expiry}] * 2
    assert "The webhook failed (HTTP 500)" in one.text()
    assert endpoint.tokens == [token]


def test_dead_webhook_does_not_delay_refreshes(
    sidecar: StartSidecar, endpoint: TokenEndpoint
) -> None:
    endpoint.lifetime = 4
    one = sidecar("--webhook-url=http://127.0.0.1:1/")
    first = one.wait_for_token()
    one.wait(lambda: one.token() != first, "a refresh")
    assert "The webhook failed (ConnectError)" in one.text()
