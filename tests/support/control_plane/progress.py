"""Progress of long steps: one live line on a terminal, plain lines elsewhere."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO

_LIVE_SECONDS: Final = 0.5
_PLAIN_SECONDS: Final = 15.0
_ERASE: Final = "\r\x1b[K"


class Progress:
    """Reports steps to a stream.

    Args:
        stream: where to.
        plain_seconds: time between two plain lines about the same step.
    """

    def __init__(self, stream: TextIO, plain_seconds: float = _PLAIN_SECONDS) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._seconds = _LIVE_SECONDS if self._live else plain_seconds

    def say(self, line: str) -> None:
        """Report something once."""
        self._write(f"{line}\n")

    @contextlib.contextmanager
    def step(self, status: Callable[[float], str]) -> Iterator[None]:
        """Keep reporting a step that takes long.

        Args:
            status: returns the line, given the seconds since the step began.
        """
        started = time.monotonic()
        ended = threading.Event()

        def report() -> None:
            while True:
                self._write(status(time.monotonic() - started) + ("" if self._live else "\n"))
                if ended.wait(self._seconds):
                    return

        reporter = threading.Thread(target=report, name="progress", daemon=True)
        reporter.start()
        try:
            yield
        finally:
            ended.set()
            reporter.join()
            self._write("")  # erases the live line

    def _write(self, text: str) -> None:
        self._stream.write(f"{_ERASE}{text}" if self._live else text)
        self._stream.flush()


def clock(seconds: float) -> str:
    """Return minutes and seconds, as on a stopwatch."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
