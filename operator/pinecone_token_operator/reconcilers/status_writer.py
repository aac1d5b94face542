"""Writes a resource's status, and records its transitions as Events."""

from collections.abc import Callable
from typing import Any, Final

from pinecone_token_operator.api.group import Kind
from pinecone_token_operator.controller.relist import api_resource
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.kube.media_types import JSON_PATCH
from pinecone_token_operator.reconcilers.events import Transition, find_transitions
from pinecone_token_operator.reconcilers.state import State
from pinecone_token_operator.reconcilers.status import Status

# Another controller may have changed the status since it was read.
_STATUS_TRIES: Final = 3

Record = Callable[[ObjectRef, str, Transition], None]
"""Records an Event about a resource, given its UID; must not block."""


class StatusWriter:
    """Writes the statuses of one kind.

    Args:
        api: the API server; its write guard keeps a former leader from writing.
        kind: of the resources.
        record: records Events.
        missed: called when a resource was replaced by one that the index does not have.
    """

    def __init__(
        self, *, api: Requests, kind: Kind, record: Record, missed: Callable[[], None]
    ) -> None:
        self._api = api
        self._resources = api_resource(kind)
        self._record = record
        self._missed = missed

    async def write(
        self,
        ref: ObjectRef,
        uid: str,
        state: State,
        compute: Callable[[Status], dict[str, Any]],
    ) -> None:
        """Write a status, and record its transitions as Events.

        Args:
            ref: the resource.
            uid: its UID.
            state: its state; what is written is noted in it.
            compute: returns the status, given the one that the API server has.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        path = self._resources.item(ref.namespace or None, ref.name)
        for tries_left in reversed(range(_STATUS_TRIES)):
            previous = state.stored_status.read()
            status = compute(previous)
            patch = status_patch(status, previous, uid)
            if patch is None:
                return
            try:
                await self._api.request(
                    "PATCH", f"{path}/status", body=patch, content_type=JSON_PATCH
                )
            except ApiError as error:
                if error.not_found:
                    return  # its deletion event is in flight
                if not error.invalid or not tries_left:
                    raise
                # A test in the patch failed: another resource, or another controller's condition.
                found = await self._api.request("GET", path)
                if found["metadata"]["uid"] != uid:
                    self._missed()
                    return
                state.stored_status.write(found.get("status") or {})
            else:
                for transition in find_transitions(status, previous):
                    self._record(ref, uid, transition)
                state.stored_status.write(status)
                return


def status_patch(status: Status, previous: Status, uid: str) -> list[dict[str, Any]] | None:
    """Return the JSON patch (RFC 6902) from one status to another, or None if they are equal.

    It is refused by a resource of the same name that was created meanwhile, and where another
    controller has changed the conditions. A merge patch would not be: of what is sent to the
    status, the API server considers no other field, the UID included.
    """
    if status == previous:
        return None
    patch: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": uid}]
    if "conditions" in previous:
        known = previous["conditions"]
        patch.append({"op": "test", "path": "/status/conditions", "value": known})
    patch.append({"op": "add", "path": "/status", "value": dict(status)})
    return patch
