"""Builds the programs that a test run needs, while tests that need none run already.

With pytest-xdist, the first worker reports what the collected tests need, the controller builds it,
and workers wait for that before the first test that needs a program.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tests.support.control_plane import BuildError, binaries, found
from tests.support.repository import ROOT

_POLL_SECONDS: Final = 0.1


class Builder:
    """Builds programs in a process of its own, on behalf of a test run.

    Args:
        directory: where the processes of the run meet.
        say: told how far a build is.
    """

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._say = say
        self._needed = directory / "needed.json"
        self._outcome = directory / "outcome"
        self._process: subprocess.Popen[str] | None = None
        self._waiting: threading.Thread | None = None

    @property
    def has_built(self) -> bool:
        """Whether there was something to build."""
        return self._process is not None

    def report(self, names: Iterable[str]) -> None:
        """Say which programs the run needs."""
        _write(self._needed, json.dumps(sorted(names)))

    def start(self) -> None:
        """Build what was reported and is missing; once."""
        if self._process is not None or self._outcome.exists() or not self._needed.exists():
            return
        names = json.loads(self._needed.read_text("utf-8"))
        if len(found(names)) == len(names):
            _write(self._outcome, "")
            return
        command = [sys.executable, "-m", "tests.support.control_plane", "build", *names]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8"
        )
        self._waiting = threading.Thread(
            target=self._wait, args=(self._process,), name="builder", daemon=True
        )
        self._waiting.start()

    def stop(self) -> None:
        """End a build that is still running."""
        if self._process is not None and self._waiting is not None:
            self._process.terminate()
            self._waiting.join()

    def provide(self, names: Iterable[str]) -> None:
        """Wait until the programs are there.

        Raises:
            BuildError: they could not be built.
        """
        wanted = list(names)
        while len(found(wanted)) < len(wanted) and not self._outcome.exists():
            time.sleep(_POLL_SECONDS)
        if len(found(wanted)) < len(wanted):
            if failure := self._outcome.read_text("utf-8"):
                raise BuildError(failure)
            binaries(*wanted)  # nobody reported them

    def _wait(self, process: subprocess.Popen[str]) -> None:
        with process:
            for line in process.stderr or ():
                self._say(line.rstrip())
        code = process.returncode
        _write(self._outcome, "" if code == 0 else "Programs are missing; the output says why.")


def _write(path: Path, text: str) -> None:
    """Write a file that others see whole or not at all."""
    scratch = path.with_suffix(".new")
    scratch.write_text(text, "utf-8")
    scratch.replace(path)
