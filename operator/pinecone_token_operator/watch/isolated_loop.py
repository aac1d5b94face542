"""Runs what would take over a process in a thread where it can take over nothing."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final

STOP_WITHIN: Final = timedelta(seconds=2.5)

logger = logging.getLogger(__name__)


class Guest:
    """A coroutine in a thread and an event loop of its own.

    Args:
        name: the thread's.
        coroutine: what to run.

    Attributes:
        ended: set to why the coroutine ended, in the event loop of the caller.
    """

    def __init__(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self._home = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        # What a cancelled generator of its leaves behind.
        self._loop.set_exception_handler(
            lambda _, what: logger.debug("%s: %s", name, what["message"])
        )
        self._task = self._loop.create_task(coroutine)
        self.ended: asyncio.Future[str] = self._home.create_future()
        # A daemon, so that one that hangs does not keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Cancel the coroutine and wait until its thread has ended."""
        with contextlib.suppress(RuntimeError):  # it has ended, and its loop is closed
            self._loop.call_soon_threadsafe(self._task.cancel)
        await asyncio.wait({self.ended}, timeout=STOP_WITHIN.total_seconds())
        if self.ended.done():
            self._thread.join()  # telling so was the last that it did
        else:
            logger.error("%s does not stop; going on without its thread", self._thread.name)

    def _run(self) -> None:
        why = "it returned"
        try:
            # The runner also cancels what tasks are left, and waits for them.
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(asyncio.wait_for(self._task, None))
        except asyncio.CancelledError:
            why = "cancelled"
        except Exception as error:  # noqa: BLE001 - whatever it was, a new life may do better
            why = f"{type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):  # nobody waits any more: that loop is closed
            self._home.call_soon_threadsafe(self._tell, why)

    def _tell(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
