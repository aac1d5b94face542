"""Leader election: the replica that holds a Lease is the leader, the others are standbys.

The leader renews the Lease. A standby takes it once it has not been renewed for its duration, or at
once when it was released. Durations are measured by the monotonic clock from when a change was
observed: the times written in a Lease come from another machine's clock and are for people.

A leader that cannot renew steps down at the renew deadline, which is shorter than the duration that
standbys wait. A process that was suspended meanwhile does not know that it is late, which is why
`WriteGuard` asks before every write.

https://kubernetes.io/docs/concepts/architecture/leases/
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, NoReturn

from pinecone_token_operator.config.settings import LeaderElection
from pinecone_token_operator.errors import ApiError, LeaseLost
from pinecone_token_operator.kube.interfaces import RequestsAndWatches
from pinecone_token_operator.kube.paths import LEASES
from pinecone_token_operator.leader_election.lease import (
    Sighting,
    acquired,
    holder_of,
    released,
    renewed,
)

# How much two retry periods may differ, so that replicas do not retry in step.
_JITTER: Final = 0.2
# A request that takes longer is better retried.
_REQUEST_TIMEOUT: Final = timedelta(seconds=3)
_RELEASE_RETRY: Final = timedelta(seconds=0.3)

logger = logging.getLogger(__name__)


class Elector:
    """Acquires the Lease, renews it, and releases it.

    Args:
        api: the API server.
        settings: the Lease and its times.
        identity: this process's name in the Lease; no other process may have the same.
        monotonic: seconds of a clock that never goes back and keeps counting during suspend.
        rng: jitters the retries.

    Attributes:
        leading: set while this process holds the Lease.
    """

    def __init__(
        self,
        api: RequestsAndWatches,
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
        self._collection = LEASES.collection(settings.namespace)
        self._name = f"{settings.namespace}/{settings.name}"
        self._path = LEASES.item(settings.namespace, settings.name)
        self._seen: Sighting | None = None
        self._renewed_at = float("-inf")
        self._running: asyncio.Task[object] | None = None
        self._failure: ApiError | None = None
        self._has_succeeded = False
        self.leading = asyncio.Event()

    def holds(self) -> bool:
        """Return whether this process certainly holds the Lease right now."""
        age = self._monotonic() - self._renewed_at
        return self.leading.is_set() and age < self._settings.renew_deadline.total_seconds()

    def not_ready(self) -> list[str]:
        """Return why this process can be neither leader nor standby; empty if it can.

        An outage of the API server does not count, once the Lease has been read.
        """
        if self._failure is None:
            return [] if self._has_succeeded else ["the Lease has not been read yet"]
        if self._has_succeeded and self._failure.is_transient:
            return []
        return [f"failed to acquire the Lease {self._name} ({self._failure})"]

    async def run(self) -> NoReturn:
        """Acquire the Lease, then keep renewing it.

        Raises:
            LeaseLost: the Lease was held and could not be renewed in time, or is someone else's.
        """
        self._running = asyncio.current_task()
        await self._acquire()
        self._succeed()
        self.leading.set()
        logger.info("Became the leader as %s", self._identity)
        while True:
            await asyncio.sleep(self._period())
            await self._renew()

    async def release(self, timeout: timedelta) -> None:  # noqa: ASYNC109 - it logs, not raises
        """End `run` and release the Lease, so that a standby takes over without waiting.

        Args:
            timeout: how long to keep trying.
        """
        if self._running:
            self._running.cancel()
            await asyncio.wait({self._running})
        if not self.leading.is_set():
            return
        self.leading.clear()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._release()
        except TimeoutError:
            logger.warning("Failed to release the Lease in time; it will expire")

    async def _release(self) -> None:
        while True:
            try:
                lease = await self._request("GET", self._path)
                if holder_of(lease) == self._identity:
                    await self._request("PUT", self._path, released(lease))
            except ApiError as error:
                if error.not_found:
                    return
                logger.warning("Failed to release the Lease (%s); retrying", error)
            else:
                logger.info("Released the Lease")
                return
            await asyncio.sleep(_RELEASE_RETRY.total_seconds())

    # Standby

    def _succeed(self) -> None:
        self._failure, self._has_succeeded = None, True

    def _fail(self, error: ApiError) -> None:
        """Note and log a failure, once until it is another."""
        if self._failure is None or self._failure.brief != error.brief:
            logger.warning("Failed to acquire the Lease %s (%s); retrying", self._name, error)
        self._failure = error

    async def _acquire(self) -> None:
        logged = ""
        while True:
            try:
                await self._read()
                wait = self._wait()
                if wait <= 0:
                    await self._take()
                    return
                holder = self._seen.holder if self._seen else ""
                if holder != logged:
                    logger.info("Waiting as a standby; the leader is %s", holder)
                    logged = holder
                self._succeed()
                await self._watch(wait)
            except ApiError as error:
                if not error.conflict:
                    self._fail(error)
                await asyncio.sleep(self._period())

    async def _read(self) -> None:
        try:
            self._observe(await self._request("GET", self._path))
        except ApiError as error:
            if not error.not_found:
                raise
            self._seen = None

    def _observe(self, lease: Mapping[str, Any]) -> None:
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen.version != version:
            self._seen = Sighting(lease, self._monotonic())

    def _wait(self) -> float:
        """Return seconds until the Lease expires unless its holder renews it."""
        return self._seen.free_at - self._monotonic() if self._seen else 0.0

    async def _watch(self, timeout: float) -> None:  # noqa: ASYNC109 - it returns, not raises
        """Return when the Lease may be free, after `timeout` seconds unless it is renewed."""
        if self._seen is None:
            return
        query = [
            ("fieldSelector", f"metadata.name={self._settings.name}"),
            ("resourceVersion", self._seen.version),
        ]
        inactivity = self._settings.lease_duration * 2
        try:
            async with asyncio.timeout(timeout) as deadline:
                events = self._api.watch(self._collection, query=query, inactivity=inactivity)
                async with aclosing(events):
                    async for event in events:
                        if event["type"] not in ("ADDED", "MODIFIED"):
                            break  # deleted, or the watch has to be re-established
                        self._observe(event["object"])
                        wait = self._wait()
                        if wait <= 0:
                            return
                        deadline.reschedule(asyncio.get_running_loop().time() + wait)
        except TimeoutError:
            return
        except ApiError as error:
            # Without a watch the Lease is polled, which is enough for a standby.
            logger.debug("Failed to watch the Lease %s (%s)", self._name, error)
        # The server may close each watch at once, or answer that the resourceVersion is too old.
        await asyncio.sleep(self._period())

    async def _take(self) -> None:
        asked_at, duration = self._monotonic(), self._settings.lease_duration
        before = self._seen.lease if self._seen else None
        lease = acquired(before, self._settings.name, self._identity, duration, datetime.now(UTC))
        try:
            # A PUT creates it as well, and RBAC can restrict that to its name.
            lease = await self._request("PUT", self._path, lease)
        except ApiError as error:
            if before is None and error.invalid:
                # Another replica has just created it: an update needs its resourceVersion.
                raise ApiError(HTTPStatus.CONFLICT, "AlreadyExists", error.message) from error
            raise
        self._renewed_at = asked_at
        self._seen = Sighting(lease, asked_at)

    # Leader

    async def _renew(self) -> None:
        """Renew the Lease, retrying until the renew deadline."""
        deadline = self._renewed_at + self._settings.renew_deadline.total_seconds()
        while True:
            asked_at = self._monotonic()
            if asked_at >= deadline:
                raise LeaseLost("failed to renew the Lease before the renew deadline")
            try:
                async with asyncio.timeout(deadline - asked_at):
                    lease = await self._renewal()
            except TimeoutError:
                continue
            except ApiError as error:
                logger.warning("Failed to renew the Lease (%s); retrying", error)
                left = deadline - self._monotonic()
                await asyncio.sleep(max(0.0, min(self._period() / 2, left)))
                continue
            self._renewed_at = asked_at
            self._seen = Sighting(lease, asked_at)
            return

    async def _renewal(self) -> dict[str, Any]:
        """Write the Lease from the last known state; on a conflict read who holds it now."""
        if self._seen is None:
            raise AssertionError("a Lease is acquired before it is renewed")
        lease = renewed(self._seen.lease, datetime.now(UTC))
        try:
            return await self._request("PUT", self._path, lease)
        except ApiError as error:
            if not (error.conflict or error.not_found):
                raise
        await self._read()
        if self._seen is None or self._seen.holder != self._identity:
            raise LeaseLost("another replica holds the Lease, or it was deleted")
        raise ApiError(HTTPStatus.CONFLICT, "Conflict", "the Lease was changed by another writer")

    def _period(self) -> float:
        """Return seconds until the next attempt."""
        return self._settings.retry_period.total_seconds() * self._rng.uniform(1 - _JITTER, 1)

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        timeout = min(_REQUEST_TIMEOUT, self._settings.renew_deadline / 2)
        return await self._api.request(method, path, body=body, timeout=timeout)
