"""Which of several replicas works: the one that holds a Lease.

The holder renews it; the others take it once the holder has shown no sign of life for the Lease's
duration, or at once when it was released. Times are counted by the monotonic clock from what was
observed: the times written in a Lease come from another machine's clock, and are for people.

A holder that could not renew stops working after the renew deadline, which is less than the
duration that the others wait. A process that was stopped meanwhile does not know that it is late,
which is why `fence.Fence` asks before every write.

https://kubernetes.io/docs/concepts/architecture/leases/
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, Protocol

from pinecone_token_operator.config.settings import LeaderElection
from pinecone_token_operator.errors import ApiError, LeaseLost
from pinecone_token_operator.leader_election.lease import (
    Sighting,
    holder_of,
    released,
    renewed,
    taken,
)

_NOT_FOUND, _CONFLICT = 404, 409
# How much of a period two tries may be apart from it, so that replicas do not knock together.
_JITTER: Final = 0.2
# A request that takes longer than this is better tried again.
_PATIENCE: Final = timedelta(seconds=3)
_FAREWELL_PAUSE: Final = timedelta(seconds=0.3)

logger = logging.getLogger(__name__)


class Api(Protocol):
    """What is needed of `kube.Api`."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        timeout: timedelta = ...,  # noqa: ASYNC109 - as there
    ) -> dict[str, Any]:
        """Return the reply's object, or raise `ApiError`."""
        ...

    def watch(
        self, path: str, *, query: Sequence[tuple[str, str]], inactivity: timedelta
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield watch events until the server closes, or raise `ApiError`."""
        ...


class Elector:
    """Takes the Lease, renews it, and gives it back.

    Args:
        api: the API server.
        settings: the Lease and its times.
        identity: what the Lease calls this process; no other may have the same.
        monotonic: seconds of a clock that never goes back and counts on while the machine sleeps.
        rng: spreads the tries.

    Attributes:
        leading: set once this process holds the Lease.
    """

    def __init__(
        self,
        api: Api,
        settings: LeaderElection,
        identity: str,
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._api = api
        self._settings = settings
        self._identity = identity
        self._monotonic = monotonic
        self._rng = rng
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases"
        self._path = f"{self._collection}/{settings.name}"
        self._seen: Sighting | None = None
        self._renewed_at = float("-inf")
        self._running: asyncio.Task[object] | None = None
        self.leading = asyncio.Event()

    def holds(self) -> bool:
        """Return whether this process holds the Lease for sure, right now."""
        age = self._monotonic() - self._renewed_at
        return self.leading.is_set() and age < self._settings.renew_deadline.total_seconds()

    async def run(self) -> NoReturn:
        """Wait for the Lease, then keep it.

        Raises:
            LeaseLost: it was held, and could not be renewed in time, or somebody else has it.
        """
        self._running = asyncio.current_task()
        await self._acquire()
        self.leading.set()
        logger.info("Leading as %s", self._identity)
        while True:
            await asyncio.sleep(self._period())
            await self._renew()

    async def release(self, patience: timedelta) -> None:
        """End `run` and give the Lease back, so that another need not wait for its end.

        Args:
            patience: how long to try.
        """
        if self._running:
            self._running.cancel()
            await asyncio.wait({self._running})
        if not self.leading.is_set():
            return
        self.leading.clear()
        try:
            async with asyncio.timeout(patience.total_seconds()):
                await self._give_back()
        except TimeoutError:
            logger.warning("The Lease could not be released in time; it runs out by itself")

    async def _give_back(self) -> None:
        while True:
            try:
                lease = await self._request("GET", self._path)
                if holder_of(lease) == self._identity:
                    await self._request("PUT", self._path, released(lease))
            except ApiError as error:
                if error.http_status == _NOT_FOUND:
                    return
                logger.warning("The Lease could not be released (%s); trying on", error)
            else:
                logger.info("Released the Lease")
                return
            await asyncio.sleep(_FAREWELL_PAUSE.total_seconds())

    # Stand by

    async def _acquire(self) -> None:
        said = ""
        while True:
            try:
                await self._look()
                wait = self._wait()
                if wait <= 0:
                    await self._take()
                    return
                holder = self._seen.holder if self._seen else ""
                if holder != said:
                    logger.info("Standing by; %s leads", holder)
                    said = holder
                await self._watch(wait)
            except ApiError as error:
                if error.http_status != _CONFLICT:
                    logger.warning("Cannot get the Lease (%s); trying on", error)
                await asyncio.sleep(self._period())

    async def _look(self) -> None:
        try:
            self._saw(await self._request("GET", self._path))
        except ApiError as error:
            if error.http_status != _NOT_FOUND:
                raise
            self._seen = None

    def _saw(self, lease: Mapping[str, Any]) -> None:
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen.version != version:
            self._seen = Sighting(lease, self._monotonic())

    def _wait(self) -> float:
        """Return seconds until the Lease is free, should nothing be seen of its holder."""
        return self._seen.free_at - self._monotonic() if self._seen else 0.0

    async def _watch(self, most: float) -> None:
        """Return when the Lease may be free."""
        if self._seen is None:
            return
        query = [
            ("fieldSelector", f"metadata.name={self._settings.name}"),
            ("resourceVersion", self._seen.version),
        ]
        inactivity = self._settings.lease_duration * 2
        try:
            async with asyncio.timeout(most) as limit:
                events = self._api.watch(self._collection, query=query, inactivity=inactivity)
                async with aclosing(events):
                    async for event in events:
                        if event["type"] not in ("ADDED", "MODIFIED"):
                            break  # deleted, or the watch has to begin anew
                        self._saw(event["object"])
                        wait = self._wait()
                        if wait <= 0:
                            return
                        limit.reschedule(asyncio.get_running_loop().time() + wait)
        except TimeoutError:
            return
        # A server may close each watch at once, or find the Lease too old to be watched.
        await asyncio.sleep(self._period())

    async def _take(self) -> None:
        asked_at, duration = self._monotonic(), self._settings.lease_duration
        before = self._seen.lease if self._seen else None
        lease = taken(before, self._settings.name, self._identity, duration, datetime.now(UTC))
        if before is None:
            lease = await self._request("POST", self._collection, lease)
        else:
            lease = await self._request("PUT", self._path, lease)
        self._renewed_at = asked_at
        self._seen = Sighting(lease, asked_at)

    # Lead

    async def _renew(self) -> None:
        """Renew, trying again until the deadline."""
        deadline = self._renewed_at + self._settings.renew_deadline.total_seconds()
        while True:
            asked_at = self._monotonic()
            if asked_at >= deadline:
                raise LeaseLost("the Lease could not be renewed in time")
            try:
                async with asyncio.timeout(deadline - asked_at):
                    lease = await self._renewal()
            except TimeoutError:
                continue
            except ApiError as error:
                logger.warning("The Lease could not be renewed (%s); trying on", error)
                left = deadline - self._monotonic()
                await asyncio.sleep(max(0.0, min(self._period() / 2, left)))
                continue
            self._renewed_at = asked_at
            self._seen = Sighting(lease, asked_at)
            return

    async def _renewal(self) -> dict[str, Any]:
        """Write the Lease as it was written last; where that is refused, look who has it now."""
        if self._seen is None:
            raise AssertionError("nothing is renewed before it was taken")
        lease = renewed(self._seen.lease, datetime.now(UTC))
        try:
            return await self._request("PUT", self._path, lease)
        except ApiError as error:
            if error.http_status not in (_CONFLICT, _NOT_FOUND):
                raise
        await self._look()
        if self._seen is None or self._seen.holder != self._identity:
            raise LeaseLost("another replica has the Lease, or somebody deleted it")
        raise ApiError(_CONFLICT, "Conflict", "somebody else changed the Lease")

    def _period(self) -> float:
        """Return seconds until the next try."""
        return self._settings.retry_period.total_seconds() * self._rng.uniform(1 - _JITTER, 1)

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        patience = min(_PATIENCE, self._settings.renew_deadline / 2)
        return await self._api.request(method, path, body=body, timeout=patience)
