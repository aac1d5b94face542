"""Worker pool: reconciles queued resources concurrently and schedules the next reconcile."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, NoReturn, Protocol

from pinecone_token_operator.backoff import retry_delay
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.controller.queue import Urgency, WorkQueue
from pinecone_token_operator.controller.reconciler import Reconciler
from pinecone_token_operator.controller.timers import Timers
from pinecone_token_operator.env import Env
from pinecone_token_operator.keys import ObjectRef

# One reconcile takes at most a few requests of ten seconds each.
STUCK_AFTER: Final = timedelta(minutes=2)

logger = logging.getLogger(__name__)


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
