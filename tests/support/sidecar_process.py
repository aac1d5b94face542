"""Runs the sidecar as a process, and observes it through its log, files and endpoints."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pinecone_token_operator.cli.main import main
from tests.support.forked_process import ForkedProcess
from tests.support.polling import poll_interval
from tests.support.repository import ROOT
from tests.support.token_endpoint import TokenEndpoint

CLIENT, SECRET = "sidecar-client", "sidecar-secret-not-to-be-shown"
VARIABLES = {"PINECONE_CLIENT_ID": CLIENT, "PINECONE_CLIENT_SECRET": SECRET}
_ADDRESS = re.compile(r"Serving (probes|POST).* on ([0-9.]+:\d+)")
_WAIT_SECONDS = 30.0
_DIRECTORY = ROOT / "operator"


class Sidecar:
    """One sidecar. It can be stopped or killed and started again; its log is appended to.

    Args:
        endpoint: the token endpoint, unless it has another source of tokens.
        directory: where to create its files.
        options: further arguments.
        environ: its environment variables.
        forked: fork it from a process that has imported it already, instead of starting Python.

    Attributes:
        log: the file with its stdout and stderr.
        output: where it writes the token's files, if it does.
    """

    def __init__(
        self,
        endpoint: TokenEndpoint | None,
        directory: Path,
        *options: str,
        environ: Mapping[str, str] = VARIABLES,
        forked: bool = False,
    ) -> None:
        self.output = directory / "token"
        self.log = directory / "sidecar.log"
        self._log_start = 0
        self._forked = forked
        self._arguments = ["sidecar", *options, "--log-format=json", "--log-level=debug"]
        if endpoint is not None:
            self._arguments += [f"--token-url={endpoint.url}", f"--ca-bundle={endpoint.ca_bundle}"]
        # Nothing of the developer's own environment.
        self._environ = {"PATH": os.environ.get("PATH", os.defpath), **environ}
        self.process: subprocess.Popen[bytes] | ForkedProcess | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()

    def start(self) -> Self:
        self.log.touch()
        self._log_start = self.log.stat().st_size
        if self._forked:
            self.process = ForkedProcess(main, self._arguments, _DIRECTORY, self._environ, self.log)
            return self
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pinecone_token_operator", *self._arguments],
                cwd=_DIRECTORY,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def exit_code(self) -> int:
        """Wait for the process to end by itself."""
        assert self.process is not None
        code = self.process.wait(timeout=_WAIT_SECONDS)
        self.process = None
        return code

    def stop(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and how many seconds it took."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.exit_code(), time.monotonic() - started

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something while the process runs."""
        started = time.monotonic()
        while not condition():
            waited = time.monotonic() - started
            assert self.process is None or self.process.poll() is None, f"it exited: {self.text()}"
            assert waited < _WAIT_SECONDS, f"{what} did not happen: {self.text()}"
            time.sleep(poll_interval(waited))

    def wait_for_line(self, words: str) -> None:
        """Wait for a log line of this run."""
        self.wait(lambda: words in self.text(), f"the log line {words!r}")

    def wait_for_token(self) -> str:
        """Wait for the token's file and return its content."""
        self.wait((self.output / "access_token").exists, "a token")
        return self.token()

    def token(self) -> str:
        return (self.output / "access_token").read_text("ascii")

    def text(self) -> str:
        """Return the log of this run."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode()

    def messages(self) -> list[str]:
        lines = [line for line in self.text().splitlines() if line.startswith("{")]
        return [str(json.loads(line)["message"]) for line in lines]

    def address(self, what: str = "probes") -> str:
        """Return the HOST:PORT on which it serves `probes`, or `POST` requests for tokens."""
        self.wait_for_line(f"Serving {what}")
        found = {match[1]: match[2] for match in _ADDRESS.finditer(self.text())}
        return found[what]

    def get(self, path: str) -> tuple[int, str]:
        """Get a page of probes and metrics."""
        status, _, body = request(self.address(), "GET", path)
        return status, body.decode()

    def ask(self, body: Mapping[str, object] | None = None) -> tuple[int, dict[str, Any]]:
        """Request a token from the loopback endpoint, as JSON."""
        content = json.dumps(body or {"grant_type": "client_credentials"}).encode()
        headers = {"Content-Type": "application/json"}
        address = self.address("POST")
        status, _, text = request(address, "POST", "/oauth/token", headers, content)
        return status, json.loads(text)


def request(
    address: str,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, Mapping[str, str], bytes]:
    """Send one request; return status, headers by lower-case name, and body."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return response.status, fields, response.read()
    finally:
        connection.close()


def write_credentials(directory: Path, secret: str = SECRET, client: str = CLIENT) -> Path:
    """Write credential files, each replaced by a rename."""
    directory.mkdir(exist_ok=True)
    for name, value in (("client_id", client), ("client_secret", secret)):
        new = directory / f".{name}"
        new.write_text(f"{value}\n", "utf-8")
        new.rename(directory / name)
    return directory


def mount_secret(directory: Path, version: int, data: Mapping[str, str]) -> Path:
    """Write a Secret's volume as the kubelet does, and remove the previous version."""
    directory.mkdir(exist_ok=True)
    data_link = directory / "..data"
    old = data_link.resolve() if data_link.is_symlink() else None
    folder = directory / f"..2026_11_27_01_00_00.{1_000_000_000 + version}"
    folder.mkdir()
    for name, value in data.items():
        (folder / name).write_text(value, "utf-8")
    (directory / "..data_tmp").symlink_to(folder.name)
    (directory / "..data_tmp").rename(data_link)
    for name in data:
        if not os.path.lexists(directory / name):
            (directory / name).symlink_to(f"..data/{name}")
    if old is not None:
        for path in old.iterdir():
            path.unlink()
        old.rmdir()
    return directory


def output_option(directory: Path) -> Sequence[str]:
    return (f"--output-dir={directory / 'token'}",)
