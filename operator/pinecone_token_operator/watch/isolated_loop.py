"""Runs a coroutine in its own thread and event loop.

There it cannot touch the main loop's tasks and signal handlers.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final

STOP_TIMEOUT: Final = timedelta(seconds=2.5)

logger = logging.getLogger(__name__)


class IsolatedLoop:
    """A coroutine that runs in its own thread and event loop.

    Args:
        name: the thread's name.
        coroutine: what to run.

    Attributes:
        ended: resolves to why the coroutine ended, in the event loop of the caller.
    """

    def __init__(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self._caller = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        # Cancelled generators may fail while they are closed; nobody can act on that.
        self._loop.set_exception_handler(
            lambda _, context: logger.debug("%s: %s", name, context["message"])
        )
        self._task = self._loop.create_task(coroutine)
        self.ended: asyncio.Future[str] = self._caller.create_future()
        # A daemon thread, so that one that hangs does not keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Cancel the coroutine and wait until its thread has ended."""
        with contextlib.suppress(RuntimeError):  # it has ended, and its loop is closed
            self._loop.call_soon_threadsafe(self._task.cancel)
        await asyncio.wait({self.ended}, timeout=STOP_TIMEOUT.total_seconds())
        if self.ended.done():
            self._thread.join()  # the thread's last act was to resolve `ended`
        else:
            logger.error("Thread %s did not stop; abandoning it", self._thread.name)

    def _run(self) -> None:
        reason = "it returned"
        try:
            # The runner also cancels the tasks that are left, and waits for them.
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(asyncio.wait_for(self._task, None))
        except asyncio.CancelledError:
            reason = "cancelled"
        except Exception as error:  # noqa: BLE001 - the caller may start another after any error
            reason = f"{type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody waits
            self._caller.call_soon_threadsafe(self._end, reason)

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
