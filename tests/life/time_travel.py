"""An event loop whose time passes at once: it jumps over the time in which nothing happens."""

import asyncio
import selectors
from collections.abc import Callable


class TimeTravel(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, for what sleeps and waits but does no I/O."""

    def __init__(self) -> None:
        self._jumper = _Jumper(self.stop)
        super().__init__(self._jumper)

    def time(self) -> float:
        return self._jumper.now

    def run(self, seconds: float = 0) -> None:
        """Do what is to be done in so much time; 0 means now."""
        self._jumper.until = self._jumper.now + seconds
        self.run_forever()


class _Jumper(selectors.SelectSelector):
    """No file is ever ready; what the loop would wait for a timer, passes at once."""

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
