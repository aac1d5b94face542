"""A task that is repeated in the background for the whole run."""

import threading
from collections.abc import Callable
from typing import Self


class Periodic:
    """Calls a function in a thread of its own until it is left, and once more at the end.

    Args:
        name: the thread's.
        do: the function.
        pause: how many seconds to wait before each call but the last.
    """

    def __init__(self, name: str, do: Callable[[], None], pause: float) -> None:
        self._do = do
        self._pause = pause
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._left.wait(self._pause):
            self._do()
        self._do()
