"""Writes Events: apart from the refresh path, which never waits for them, and losing them first.

An Event that tells the same again is counted up, as `kubectl describe` shows it, by its name: it is
made of the resource's UID and the reason, so this also holds after a restart.

https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from pinecone_token_operator.api.access_token import GROUP, KIND, VERSION, PineconeAccessToken
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.reconcilers.events import News
from pinecone_token_operator.targets.target import format_time

COMPONENT: Final = "pinecone-token-operator"
# When an endpoint fails, thousands of resources tell the same; their statuses do so without limit.
MOST_WAITING: Final = 1000
PAUSE: Final = timedelta(milliseconds=50)
# A name may have 253 characters.
_NAME: Final = 220
_CONFLICT: Final = 409

logger = logging.getLogger(__name__)


class EventRecorder:
    """Writes one Event at a time.

    Args:
        api: the API server.
        now: the clock; aware times in UTC.
    """

    def __init__(self, api: Requests, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now
        self._waiting: asyncio.Queue[tuple[PineconeAccessToken, News, datetime]] = asyncio.Queue(
            MOST_WAITING
        )

    def record(self, resource: PineconeAccessToken, news: News) -> None:
        """Have an Event written; does not block, and drops it if too many wait."""
        try:
            self._waiting.put_nowait((resource, news, self._now()))
        except asyncio.QueueFull:
            logger.debug("Dropped an Event", extra={"resource": resource.key})

    async def run(self) -> NoReturn:
        """Write until cancelled."""
        while True:
            resource, news, moment = await self._waiting.get()
            try:
                await self._write(resource, news, format_time(moment))
            except ApiError as error:
                logger.warning("An Event could not be written (%s)", error)
            self._waiting.task_done()
            await asyncio.sleep(PAUSE.total_seconds())

    async def flush(self, most: timedelta) -> None:
        """Wait until all is written, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most.total_seconds()):
                await self._waiting.join()

    async def _write(self, resource: PineconeAccessToken, news: News, moment: str) -> None:
        event = _event(resource, news, moment)
        path = f"/api/v1/namespaces/{resource.metadata.namespace}/events"
        try:
            await self._api.request("POST", path, body=event)
        except ApiError as error:
            if error.http_status != _CONFLICT:
                raise
        else:
            return
        path += f"/{event['metadata']['name']}"
        before = await self._api.request("GET", path)
        again = {
            "count": int(before.get("count") or 1) + 1,
            "lastTimestamp": moment,
            "message": news.message,
        }
        await self._api.request(
            "PATCH", path, body=again, content_type="application/merge-patch+json"
        )


def _event(resource: PineconeAccessToken, news: News, moment: str) -> dict[str, Any]:
    metadata = resource.metadata
    digest = hashlib.sha256(f"{metadata.uid}/{news.reason}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata.name[:_NAME].rstrip('.-')}.{digest}"},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": metadata.namespace,
            "name": metadata.name,
            "uid": metadata.uid,
        },
        "type": news.type,
        "reason": news.reason,
        "message": news.message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
