"""An event loop whose time passes at once: it skips the time in which nothing happens."""

import asyncio
import selectors
from collections.abc import Callable


class TimeTravel(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, for coroutines that wait but do no I/O."""

    def __init__(self) -> None:
        self._skipper = _Skipper(self.stop)
        super().__init__(self._skipper)

    def time(self) -> float:
        return self._skipper.now

    def run(self, seconds: float = 0) -> None:
        """Run everything that happens in so many seconds; 0 runs what happens right now."""
        self._skipper.until = self._skipper.now + seconds
        self.run_forever()


class _Skipper(selectors.SelectSelector):
    """Never finds a file ready; what the loop would wait for a timer passes at once."""

    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()
        self.now = self.until = 0.0
        self._stop = stop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            then = self.until + 1 if timeout is None else self.now + timeout
            self.now = max(self.now, min(then, self.until))
            if then > self.until:
                self._stop()
        return []
