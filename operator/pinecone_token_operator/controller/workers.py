"""Works off the queue: several looks at a time, each followed by the next moment to look."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NoReturn

from pinecone_token_operator.controller.index import Index, Key
from pinecone_token_operator.controller.queue import Timers, Urgency, WorkQueue
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.policies import schedule
from pinecone_token_operator.reconcilers.access_token import Reconciler
from pinecone_token_operator.telemetry.metrics import Metrics

# One look takes at most a few requests of ten seconds each.
STUCK_AFTER: Final = timedelta(minutes=2)

logger = logging.getLogger(__name__)


class Workers:
    """What looks at resources, by their urgency.

    Args:
        index: the resources.
        reconciler: looks at one resource.
        metrics: counts.
        now: the clock; aware times in UTC.
        monotonic: seconds of a clock that never goes back.
        rng: spreads retries.

    Attributes:
        working: whether `start` was called; until then nothing is added.
    """

    def __init__(
        self,
        index: Index,
        reconciler: Reconciler,
        metrics: Metrics,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._index = index
        self._reconciler = reconciler
        self._metrics = metrics
        self._now = now
        self._monotonic = monotonic
        self._rng = rng
        self._queue = WorkQueue(self._urgency)
        self._timers = Timers(self.add, now)
        self._failures: dict[Key, int] = {}
        self._last_progress = monotonic()
        self.working = False

    def start(self) -> None:
        """Take on all resources."""
        self.working = True
        for key in self._index:
            self.add(key)

    def add(self, key: Key) -> None:
        """Ask for a look at a resource."""
        if not self.working:
            return
        if not self._queue.unfinished:
            self._last_progress = self._monotonic()
        self._queue.add(key)
        self._metrics.queue_length(len(self._queue))

    def forget(self, key: Key) -> None:
        """Drop what is known of a resource that is gone."""
        self._timers.set(key, None)
        self._failures.pop(key, None)

    async def run(self, count: int) -> NoReturn:
        """Work until cancelled; a cancelled look leaves nothing half-written."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._timers.run(), name="timers")
            for number in range(count):
                group.create_task(self._work(), name=f"worker {number}")
        raise AssertionError("workers never end")

    async def drain(self, most: timedelta) -> None:
        """Take no more work, and wait for what is under way, so that nothing is cut in two."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most.total_seconds()):
                await self._queue.drain()

    def problems(self) -> list[str]:
        """Return what stands still."""
        stuck = self._monotonic() - self._last_progress > STUCK_AFTER.total_seconds()
        if not self._queue.unfinished or not stuck:
            return []
        return [f"the queue of {self._queue.unfinished} resources does not move"]

    async def _work(self) -> NoReturn:
        while True:
            key = await self._queue.take()
            self._metrics.queue_length(len(self._queue))
            moment = await self._look(key)
            self._last_progress = self._monotonic()
            self._timers.set(key, moment if self._index.get(key) else None)
            self._queue.done(key)

    async def _look(self, key: Key) -> datetime | None:
        try:
            moment = await self._reconciler.reconcile(key)
        except ApiError as error:
            result, problem = "api_error", f"the API server: {error}"
        except Exception as error:  # one resource must not stop the others
            result, problem = "error", type(error).__name__
            logger.exception("Looking at it failed", extra={"resource": key})
        else:
            self._metrics.reconciled("success")
            self._failures.pop(key, None)
            return moment
        self._metrics.reconciled(result)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        resource = self._index.get(key)
        expires_at = self._reconciler.expires_at(resource) if resource else None
        life_left = expires_at - self._now() if expires_at else timedelta()
        wait = schedule.back_off(failures, life_left, self._rng.random())
        logger.warning("%s; trying again in %s", problem, wait, extra={"resource": key})
        return self._now() + wait

    def _urgency(self, key: Key) -> Urgency:
        """No token at all first, the newest of them foremost; then the nearest expiry."""
        resource = self._index.get(key)
        if resource is None:
            return (0.0, 0.0)
        expires_at = self._reconciler.expires_at(resource)
        if expires_at is not None:
            return (1.0, expires_at.timestamp())
        told = resource.status.get("expiresAt")
        if isinstance(told, str):
            # The API server takes the year 0, should somebody else write a status.
            with contextlib.suppress(ValueError):
                return (1.0, datetime.fromisoformat(told).timestamp())
        return (0.0, -resource.metadata.creation_timestamp.timestamp())
