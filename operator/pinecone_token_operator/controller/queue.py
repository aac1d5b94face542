"""What to look at next: a queue by urgency, and a heap of what to look at later."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NoReturn

Key = tuple[str, str]
"""A resource's (namespace, name)."""

Urgency = tuple[float, ...]
"""The smaller, the sooner."""

# How long a step of the wall clock may go unnoticed.
_LONGEST_SLEEP = timedelta(seconds=10)


class WorkQueue:
    """Keys, the most urgent first; each at most once, and never in two hands at a time.

    Args:
        urgency: asked whenever a key is added; one that waits already may move forward.
    """

    def __init__(self, urgency: Callable[[Key], Urgency]) -> None:
        self._urgency = urgency
        # A key that has moved forward is in the heap several times; the most urgent one counts.
        self._heap: list[tuple[Urgency, int, Key]] = []
        self._order = itertools.count()
        self._waiting: dict[Key, Urgency] = {}
        self._in_hand: set[Key] = set()
        self._again: set[Key] = set()
        self._available = asyncio.Semaphore(0)
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def unfinished(self) -> int:
        """How many keys wait or are in hand."""
        return len(self._waiting) + len(self._in_hand)

    def add(self, key: Key) -> None:
        """Ask for a look at a resource; one that is in hand is looked at again afterwards."""
        if key in self._in_hand:
            self._again.add(key)
            return
        urgency = self._urgency(key)
        before = self._waiting.get(key)
        if before is not None and before <= urgency:
            return
        self._waiting[key] = urgency
        heapq.heappush(self._heap, (urgency, next(self._order), key))
        if before is None:
            self._available.release()

    async def take(self) -> Key:
        """Wait for the most urgent key; it must be given back by `done`."""
        await self._available.acquire()
        if self._closed:
            await asyncio.Future()  # for ever
        urgency, _, key = heapq.heappop(self._heap)
        while self._waiting.get(key) != urgency:
            urgency, _, key = heapq.heappop(self._heap)
        del self._waiting[key]
        self._in_hand.add(key)
        self._idle.clear()
        return key

    def done(self, key: Key) -> None:
        """Give a key back."""
        self._in_hand.remove(key)
        if key in self._again:
            self._again.remove(key)
            self.add(key)
        if not self._in_hand:
            self._idle.set()

    async def drain(self) -> None:
        """Hand out nothing any more, and wait until all that is in hand has been given back."""
        self._closed = True
        await self._idle.wait()


class Timers:
    """Calls `due` for each key when its moment has come; a key has one moment at most."""

    def __init__(self, due: Callable[[Key], None], now: Callable[[], datetime]) -> None:
        self._due = due
        self._now = now
        self._heap: list[tuple[datetime, Key]] = []
        self._moments: dict[Key, datetime] = {}
        self._changed = asyncio.Event()

    def set(self, key: Key, moment: datetime | None) -> None:
        """Set a key's moment, or none."""
        if self._moments.get(key) == moment:
            return
        if moment is None:
            del self._moments[key]
            return
        self._moments[key] = moment
        heapq.heappush(self._heap, (moment, key))
        if self._heap[0] == (moment, key):
            self._changed.set()

    async def run(self) -> NoReturn:
        """Call `due` until cancelled."""
        while True:
            now = self._now()
            while self._heap and self._heap[0][0] <= now:
                moment, key = heapq.heappop(self._heap)
                # Moments that were replaced stay in the heap until their time and mean nothing.
                if self._moments.get(key) == moment:
                    del self._moments[key]
                    self._due(key)
            wait = min(self._heap[0][0] - now, _LONGEST_SLEEP) if self._heap else _LONGEST_SLEEP
            self._changed.clear()
            try:
                async with asyncio.timeout(wait.total_seconds()):
                    await self._changed.wait()
            except TimeoutError:
                pass
