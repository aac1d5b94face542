"""Timers: the resources to reconcile later."""

import asyncio
import heapq
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NoReturn

from pinecone_token_operator.keys import ObjectRef

# What falls due in the same second is released in batches of at least this many: together, so that
# the process wakes once and finds warm caches, and apart, so that a new resource need not wait for
# all of a large one.
_BATCH: Final = 8
_BATCHES: Final = 10
_PAUSE: Final = timedelta(milliseconds=50)
# How long a step of the wall clock may go unnoticed.
_LONGEST_SLEEP: Final = timedelta(seconds=10)
# Replaced times stay in the heap until it is rebuilt, which is not worth it for fewer than these.
_SMALL: Final = 1000


class Timers:
    """Calls `due` for each reference when its time has come; a reference has one time at most.

    Args:
        due: called with each reference; must not block.
        now: the current time; aware, in UTC.
    """

    def __init__(self, due: Callable[[ObjectRef], None], now: Callable[[], datetime]) -> None:
        self._due = due
        self._now = now
        self._heap: list[tuple[datetime, ObjectRef]] = []
        self._times: dict[ObjectRef, datetime] = {}
        self._changed = asyncio.Event()

    def set(self, ref: ObjectRef, time: datetime | None) -> None:
        """Set the time of a reference, or remove it."""
        if self._times.get(ref) == time:
            return
        if time is None:
            del self._times[ref]
            return
        self._times[ref] = time
        heapq.heappush(self._heap, (time, ref))
        if len(self._heap) > max(_SMALL, 2 * len(self._times)):
            self._heap = [(at, one) for one, at in self._times.items()]
            heapq.heapify(self._heap)
        if self._heap[0] == (time, ref):
            self._changed.set()

    async def run(self) -> NoReturn:
        """Call `due` until cancelled."""
        while True:
            now = self._now()
            due = []
            while self._heap and self._heap[0][0] <= now:
                due.append(heapq.heappop(self._heap))
            await self._release(due)
            now = self._now()
            wait = min(self._heap[0][0] - now, _LONGEST_SLEEP) if self._heap else _LONGEST_SLEEP
            self._changed.clear()
            try:
                async with asyncio.timeout(wait.total_seconds()):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _release(self, due: Sequence[tuple[datetime, ObjectRef]]) -> None:
        size = max(_BATCH, -(-len(due) // _BATCHES))
        for start in range(0, len(due), size):
            if start:
                await asyncio.sleep(_PAUSE.total_seconds())
            for time, ref in due[start : start + size]:
                # Times that were replaced mean nothing.
                if self._times.get(ref) == time:
                    del self._times[ref]
                    self._due(ref)
