"""Work queue and worker pool.

Resources to reconcile now wait in the queue, the most urgent first. Workers reconcile several at a
time, and each reconcile says when the next one is due.
"""

import asyncio
import contextlib
import heapq
import itertools
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, NoReturn, Protocol

from pinecone_token_operator.backoff import retry_delay
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.controller.reconciler import Reconciler
from pinecone_token_operator.controller.timers import Timers
from pinecone_token_operator.env import Env
from pinecone_token_operator.keys import ObjectRef

# One reconcile takes at most a few requests of ten seconds each.
STUCK_AFTER: Final = timedelta(minutes=2)

logger = logging.getLogger(__name__)

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


class QueueMetrics(Protocol):
    """What is measured of the queue."""

    def queue_length(self, length: Callable[[], int]) -> None:
        """Set how to find out how many resources are queued."""
        ...


class Workers:
    """Reconciles resources, the most urgent first.

    Args:
        index: the resources.
        reconcilers: by the name of their kind.
        metrics: what is measured.
        env: the clocks and random numbers.

    Attributes:
        working: whether `start` was called; until then nothing is queued.
    """

    def __init__(
        self,
        *,
        index: Index,
        reconcilers: Mapping[str, Reconciler],
        metrics: QueueMetrics,
        env: Env,
    ) -> None:
        self._index = index
        self._reconcilers = reconcilers
        self._env = env
        self._queue = WorkQueue(self._urgency, env.monotonic)
        metrics.queue_length(self._queue.__len__)
        self._timers = Timers(self.add, env.now)
        self._failures: dict[ObjectRef, int] = {}
        self.working = False

    def start(self) -> None:
        """Queue all resources, and accept more from now on."""
        self.working = True
        for ref in self._index:
            self.add(ref)

    def add(self, ref: ObjectRef) -> None:
        """Queue a resource."""
        if self.working:
            self._queue.add(ref)

    def forget(self, ref: ObjectRef) -> None:
        """Drop what is known of a resource that is gone."""
        self._timers.set(ref, None)
        self._failures.pop(ref, None)

    async def run(self, count: int) -> NoReturn:
        """Work until cancelled; a cancelled reconcile leaves nothing half-written."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._timers.run(), name="timers")
            for number in range(count):
                group.create_task(self._work(), name=f"worker {number}")
        raise AssertionError("workers never end")

    async def drain(self, most: timedelta) -> None:
        """Start no more reconciles, and wait for those in progress, so that none is cut in two."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most.total_seconds()):
                await self._queue.drain()

    def problems(self) -> list[str]:
        """Return what is not making progress."""
        stuck = self._env.monotonic() - self._queue.last_progress > STUCK_AFTER.total_seconds()
        if not self._queue.unfinished or not stuck:
            return []
        return [f"the work queue of {self._queue.unfinished} resources is not making progress"]

    async def _work(self) -> NoReturn:
        while True:
            ref = await self._queue.take()
            self._timers.set(ref, await self._reconcile(ref))
            self._queue.done(ref)

    async def _reconcile(self, ref: ObjectRef) -> datetime | None:
        try:
            time = await self._reconcilers[ref.kind].reconcile(ref)
        except Exception:  # one resource must not stop the others
            failures = self._failures[ref] = self._failures.get(ref, 0) + 1
            delay = retry_delay(failures, timedelta(), self._env.rng.random())
            logger.exception("Failed to reconcile; retrying in %s", delay, extra={"resource": ref})
            return self._env.now() + delay if self._index.get(ref) else None
        self._failures.pop(ref, None)
        return time

    def _urgency(self, ref: ObjectRef) -> Urgency:
        return self._reconcilers[ref.kind].urgency(ref)
