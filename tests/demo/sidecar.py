"""Shows the sidecar at work without a cluster, breaks a few things, and checks its promises.

    make demo-sidecar

It starts a token endpoint on loopback, whose tokens live 12 s, and the sidecar. Exit status: 0 if
all promises were kept; 1 if one was broken or the demo could not go on; 130 or 143 if a signal
stopped it.
"""

import contextlib
import hashlib
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from tests.support.leaks import find_leaks
from tests.support.program import ProgramError, begin_clean_up, run_program, say
from tests.support.sidecar_process import CLIENT, SECRET, Sidecar, write_credentials
from tests.support.token_endpoint import TokenEndpoint

_LIFETIME: Final = 12
_NEW_SECRET: Final = "rotated-secret-not-to-be-shown"
_READ_SECONDS: Final = 0.002
_STOP_SECONDS: Final = 1.0


@dataclass(slots=True)
class Seen:
    """What was seen while the demo ran.

    Attributes:
        reads: how often the file was read.
        tokens: how many tokens were in it.
        least_left: the shortest remaining lifetime of a token that was read, in seconds.
        unusable: what else was read: a missing file, or something that is no token.
        exchanges_of_restart: how many token requests a restart caused.
        exit_code: of the sidecar.
        stop_seconds: how long it took to exit.
        leaks: logs with a token or a client secret.
    """

    reads: int = 0
    tokens: int = 0
    least_left: float = float("inf")
    unusable: list[str] = field(default_factory=list)
    exchanges_of_restart: int = 0
    exit_code: int = 0
    stop_seconds: float = 0.0
    leaks: list[str] = field(default_factory=list)


def promises(seen: Seen) -> list[tuple[bool, str]]:
    """Return each promise in words, and whether it was kept."""
    return [
        (
            not seen.unusable and seen.reads > 0,
            f"the file held a whole token at each of {seen.reads} reads",
        ),
        (
            0 < seen.least_left < float("inf"),
            f"no expired token was read; the least remaining lifetime was {seen.least_left:.1f} s",
        ),
        (
            seen.exchanges_of_restart == 0,
            f"a restart caused {seen.exchanges_of_restart} token requests",
        ),
        (
            seen.exit_code == 0 and seen.stop_seconds < _STOP_SECONDS,
            f"on SIGTERM it exited {seen.exit_code} after {seen.stop_seconds:.2f} s",
        ),
        (not seen.leaks, "no log contains a token or a client secret"),
    ]


class Reader:
    """Reads the token's file all the time, as an application does."""

    def __init__(self, path: Path, endpoint: TokenEndpoint, seen: Seen) -> None:
        self._path = path
        self._endpoint = endpoint
        self._seen = seen
        self._stop = threading.Event()
        # A signal may end the demo between the thread's start and its clean-up.
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        latest = ""
        while not self._stop.wait(_READ_SECONDS):
            self._seen.reads += 1
            try:
                token = self._path.read_text("ascii")
            except OSError as error:
                self._seen.unusable.append(type(error).__name__)
                continue
            issue = self._endpoint.issued.get(token)
            if issue is None:
                self._seen.unusable.append("not a token")
                continue
            self._seen.least_left = min(self._seen.least_left, issue.expires_at - time.monotonic())
            self._seen.tokens += token != latest
            latest = token


class Story:
    """The demo's steps, each of which prints what happened."""

    def __init__(self, endpoint: TokenEndpoint, sidecar: Sidecar, credentials: Path) -> None:
        self._endpoint = endpoint
        self._sidecar = sidecar
        self._credentials = credentials
        self._started = time.monotonic()

    def first_token(self) -> None:
        self._sidecar.wait_for_token()
        self._tell("the sidecar wrote the first token:")
        for path in sorted(self._sidecar.output.iterdir()):
            if path.is_symlink():
                say(f"           {path.name} -> {path.readlink()}")
        self._show()
        _, reply = self._sidecar.ask()
        same = reply["access_token"] == self._sidecar.token()
        self._tell(
            f"POST http://{self._sidecar.address('POST')}/oauth/token returned "
            f"{'the same token' if same else 'another token'}, expires_in {reply['expires_in']}"
        )

    def refresh(self) -> None:
        self._tell("waiting for the refresh, with a third of the lifetime left")
        self._wait_for_another("a refresh")
        self._show()

    def restart(self, seen: Seen) -> None:
        before = len(self._endpoint.requests)
        self._tell("killing the sidecar (SIGKILL) and starting it again")
        self._sidecar.kill()
        self._sidecar.start()
        self._sidecar.wait_for_line("Found a token")
        seen.exchanges_of_restart = len(self._endpoint.requests) - before
        self._tell("it found its token in the files")

    def rotate(self) -> None:
        self._tell("rotating the client secret")
        self._endpoint.credentials = {CLIENT: _NEW_SECRET}
        started = time.monotonic()
        write_credentials(self._credentials, _NEW_SECRET)
        self._wait_for_another("a token for the new credentials")
        self._tell(f"a token for the new credentials after {time.monotonic() - started:.1f} s")
        self._show()

    def outage(self) -> None:
        self._tell("stopping the token endpoint until a refresh has failed")
        self._endpoint.mode = "down"
        self._sidecar.wait_for_line("Failed to fetch a token")
        self._tell("a refresh failed; the current token stays in place")
        self._endpoint.mode = "ok"
        self._wait_for_another("a refresh after the outage")
        self._tell("the token endpoint is back, and the token refreshed")
        self._show()

    def stop(self, seen: Seen) -> None:
        self._tell("stopping the sidecar (SIGTERM)")
        seen.exit_code, seen.stop_seconds = self._sidecar.stop()

    def _wait_for_another(self, what: str) -> None:
        before = self._sidecar.token()
        self._sidecar.wait(lambda: self._sidecar.token() != before, what)

    def _show(self) -> None:
        # A hash, because a token is never shown.
        digest = hashlib.sha256(self._sidecar.token().encode()).hexdigest()[:8]
        expiry = (self._sidecar.output / "expires_at").read_text("ascii")
        self._tell(f"access_token has SHA-256 {digest}..., expires_at {expiry}")

    def _tell(self, line: str) -> None:
        say(f"  {time.monotonic() - self._started:5.1f} s  {line}")


def main() -> int:
    """Run the demo, and return the exit status."""
    seen = Seen()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-sidecar-")))
        say(f"Starting a token endpoint whose tokens live {_LIFETIME} s, and the sidecar.")
        credentials = write_credentials(directory / "credentials")
        endpoint = TokenEndpoint(_LIFETIME, directory=directory / "endpoint")
        endpoint.credentials = {CLIENT: SECRET}
        stack.enter_context(endpoint)
        sidecar = Sidecar(
            endpoint,
            directory,
            f"--credentials-dir={credentials}",
            f"--output-dir={directory / 'token'}",
            "--token-address=127.0.0.1:0",
            environ={},
        )
        stack.enter_context(sidecar)
        stack.callback(begin_clean_up)
        story = Story(endpoint, sidecar, credentials)
        try:
            story.first_token()
            with Reader(sidecar.output / "access_token", endpoint, seen):
                story.refresh()
                story.restart(seen)
                story.rotate()
                story.outage()
                story.stop(seen)
        except AssertionError as error:
            raise ProgramError(str(error)) from error
        logs = {sidecar.log.name: sidecar.log.read_text("utf-8")}
        seen.leaks = find_leaks(logs, [SECRET, _NEW_SECRET, *endpoint.tokens])
        say("")
        judged = promises(seen)
        for kept, promise in judged:
            say(f"  {'kept' if kept else 'BROKEN'}: {promise}")
    return int(not all(kept for kept, _ in judged))


if __name__ == "__main__":
    sys.exit(run_program("demo-sidecar", main))
