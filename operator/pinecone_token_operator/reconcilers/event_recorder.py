"""Records Events: outside the refresh path, which never waits for them, and dropping them first.

An Event that repeats is counted up, as `kubectl describe` shows it, by its name: it is made of the
resource's UID and the reason, so this also holds after a restart.

https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from pinecone_token_operator.api.group import API_VERSION
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.kube.media_types import MERGE_PATCH
from pinecone_token_operator.kube.paths import EVENTS
from pinecone_token_operator.reconcilers.events import Transition
from pinecone_token_operator.targets.stored_token import format_time

COMPONENT: Final = "pinecone-token-operator"
# When an endpoint fails, thousands of resources report the same; their statuses have no limit.
MAX_PENDING: Final = 1000
PAUSE: Final = timedelta(milliseconds=50)
# A name may have 253 characters.
_NAME: Final = 220
# Events about cluster-scoped resources go to this namespace, as kubectl describe expects.
_CLUSTER_EVENTS: Final = "default"

logger = logging.getLogger(__name__)


class EventRecorder:
    """Writes one Event at a time.

    Args:
        api: the API server.
        now: the current time; aware, in UTC.
    """

    def __init__(self, api: Requests, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now
        self._pending: asyncio.Queue[tuple[ObjectRef, str, Transition, datetime]] = asyncio.Queue(
            MAX_PENDING
        )

    def record(self, ref: ObjectRef, uid: str, transition: Transition) -> None:
        """Queue an Event; does not block, and drops it if too many are pending."""
        try:
            self._pending.put_nowait((ref, uid, transition, self._now()))
        except asyncio.QueueFull:
            logger.debug("Too many Events are pending; dropping this one", extra={"resource": ref})

    async def run(self) -> NoReturn:
        """Write until cancelled."""
        while True:
            ref, uid, transition, moment = await self._pending.get()
            try:
                await self._write(ref, uid, transition, format_time(moment))
            except ApiError as error:
                logger.warning(
                    "Failed to record an Event (%s); dropping it", error, extra={"resource": ref}
                )
            self._pending.task_done()
            await asyncio.sleep(PAUSE.total_seconds())

    async def flush(self, most: timedelta) -> None:
        """Wait until all is written, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most.total_seconds()):
                await self._pending.join()

    async def _write(self, ref: ObjectRef, uid: str, transition: Transition, moment: str) -> None:
        event = _event(ref, uid, transition, moment)
        namespace = ref.namespace or _CLUSTER_EVENTS
        try:
            await self._api.request("POST", EVENTS.collection(namespace), body=event)
        except ApiError as error:
            if not error.conflict:
                raise
        else:
            return
        path = EVENTS.item(namespace, event["metadata"]["name"])
        before = await self._api.request("GET", path)
        again = {
            "count": int(before.get("count") or 1) + 1,
            "lastTimestamp": moment,
            "message": transition.message,
        }
        await self._api.request("PATCH", path, body=again, content_type=MERGE_PATCH)


def _event(ref: ObjectRef, uid: str, transition: Transition, moment: str) -> dict[str, Any]:
    digest = hashlib.sha256(f"{uid}/{transition.reason}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{ref.name[:_NAME].rstrip('.-')}.{digest}"},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": ref.kind,
            **({"namespace": ref.namespace} if ref.namespace else {}),
            "name": ref.name,
            "uid": uid,
        },
        "type": transition.type,
        "reason": transition.reason,
        "message": transition.message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
