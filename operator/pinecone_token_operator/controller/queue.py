"""Work queue: the resources to reconcile now, the most urgent first."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

from pinecone_token_operator.keys import ObjectRef

Urgency = tuple[float, ...]
"""The smaller, the sooner."""


class WorkQueue:
    """References, the most urgent first; each queued once, and never processed twice at a time.

    Args:
        urgency: called whenever a reference is added; one that is queued already may move forward.
        monotonic: seconds of a clock that never goes back.

    Attributes:
        last_progress: when a reference was finished, or added while there was none.
    """

    def __init__(
        self, urgency: Callable[[ObjectRef], Urgency], monotonic: Callable[[], float]
    ) -> None:
        self._urgency = urgency
        self._monotonic = monotonic
        self.last_progress = monotonic()
        # One that has moved forward is in the heap several times; the most urgent one counts.
        self._heap: list[tuple[Urgency, int, ObjectRef]] = []
        self._order = itertools.count()
        self._waiting: dict[ObjectRef, Urgency] = {}
        self._processing: set[ObjectRef] = set()
        self._requeue: set[ObjectRef] = set()
        self._available = asyncio.Semaphore(0)
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def unfinished(self) -> int:
        """How many references are queued or being processed."""
        return len(self._waiting) + len(self._processing)

    def add(self, ref: ObjectRef) -> None:
        """Queue a resource; one that is being processed is queued again afterwards."""
        if ref in self._processing:
            self._requeue.add(ref)
            return
        if not self.unfinished:
            self.last_progress = self._monotonic()
        urgency = self._urgency(ref)
        before = self._waiting.get(ref)
        if before is not None and before <= urgency:
            return
        self._waiting[ref] = urgency
        heapq.heappush(self._heap, (urgency, next(self._order), ref))
        if before is None:
            self._available.release()

    async def take(self) -> ObjectRef:
        """Wait for the most urgent reference; the caller must pass it to `done`."""
        await self._available.acquire()
        if self._closed:
            await asyncio.Future()  # forever
        urgency, _, ref = heapq.heappop(self._heap)
        while self._waiting.get(ref) != urgency:
            urgency, _, ref = heapq.heappop(self._heap)
        del self._waiting[ref]
        self._processing.add(ref)
        self._idle.clear()
        return ref

    def done(self, ref: ObjectRef) -> None:
        """Finish processing a reference."""
        self._processing.remove(ref)
        self.last_progress = self._monotonic()
        if ref in self._requeue:
            self._requeue.remove(ref)
            self.add(ref)
        if not self._processing:
            self._idle.set()

    async def drain(self) -> None:
        """Return nothing more from `take`, and wait until all that is being processed is done."""
        self._closed = True
        await self._idle.wait()
