"""A model of the API server, as small as the operator's requests allow, for sequences by thousands.

A real API server takes a hundred times as long. What the model leaves out: defaults, pruning and
validation (send whole and valid objects), server-side apply, managed fields, pagination, selectors
but for 'has this label', authentication, and every kind but Secrets and PineconeAccessTokens. That
what it does is what the real one does is tested by playing the same requests on both: see
tests/integration/support/test_small_api.py.
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.interfaces import Body
from pinecone_token_operator.targets.target import format_time
from tests.support.builders import merge

NAMESPACE: Final = "shop"
SECRETS: Final = f"/api/v1/namespaces/{NAMESPACE}/secrets"
TOKENS: Final = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
_STATUS: Final = "/status"
_IMMUTABLE: Final = ("data", "immutable")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was made: what was sent, and what came of it."""

    method: str
    path: str
    body: Any
    status: int
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """An object that was made, changed or deleted, as a watch tells it."""

    version: int
    type: str
    path: str
    object: Mapping[str, Any]


class SmallApi:
    """One namespace of an API server, without any delay.

    Args:
        now: the clock.
        tell: told each change.

    Attributes:
        calls: every request so far.
        changes: every change so far.
    """

    def __init__(self, now: Callable[[], datetime], tell: Callable[[Change], None]) -> None:
        self.calls: list[Call] = []
        self.changes: list[Change] = []
        self._now = now
        self._tell = tell
        self._objects: dict[str, dict[str, Any]] = {}
        self._made = 0
        self._version = 0

    @property
    def version(self) -> int:
        """The resourceVersion of the latest change."""
        return self._version

    def find(self, path: str) -> dict[str, Any] | None:
        """Return an object as it is, without a request."""
        return copy.deepcopy(self._objects.get(path))

    def items(self, collection: str, label: str | None = None) -> list[dict[str, Any]]:
        """Return the objects of a collection, as a list would tell them."""
        return [
            copy.deepcopy(obj)
            for path, obj in sorted(self._objects.items())
            if path.rpartition("/")[0] == collection
            and (label is None or label in obj["metadata"].get("labels", {}))
        ]

    def call(self, method: str, path: str, body: Body | None = None) -> dict[str, Any]:
        """Make a request; a PATCH is a merge patch, or as a list a JSON patch of a status.

        Raises:
            ApiError: as the API server would refuse it.
        """
        sent = json.loads(json.dumps(body))
        try:
            answer = self._serve(method, path, sent)
        except ApiError as error:
            self.calls.append(Call(method, path, sent, error.http_status, {}))
            raise
        self.calls.append(Call(method, path, sent, 200, answer))
        return answer

    def _serve(self, method: str, path: str, body: Any) -> dict[str, Any]:
        if method == "POST":
            return self._create(f"{path}/{body['metadata']['name']}", body)
        found = self._objects.get(path.removesuffix(_STATUS))
        if found is None:
            raise ApiError(404, "NotFound", f"{path} not found")
        if method == "PATCH":
            return self._patch(path, found, body)
        if method == "DELETE":
            return self._delete(path, found)
        return copy.deepcopy(found)

    def _create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path in self._objects:
            raise ApiError(409, "AlreadyExists", f"{path} already exists")
        self._made += 1
        metadata = {
            **body["metadata"],
            "namespace": NAMESPACE,
            "uid": f"00000000-0000-4000-8000-{self._made:012}",
            "creationTimestamp": format_time(self._now()),
        }
        obj = {**body, "metadata": metadata}
        if path.startswith(TOKENS):
            obj.pop("status", None)
            metadata["generation"] = 1
        return self._store("ADDED", path, _tidy(obj))

    def _patch(self, path: str, found: dict[str, Any], patch: Any) -> dict[str, Any]:
        obj = _tidy(_operated(found, patch) if isinstance(patch, list) else merge(found, patch))
        before, after = found["metadata"], obj["metadata"]
        if after["resourceVersion"] != before["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        # Of what is sent to the status, the metadata is not looked at, the UID included.
        if after["uid"] != before["uid"] and not path.endswith(_STATUS):
            raise ApiError(422, "Invalid", "metadata.uid: field is immutable")
        if path.endswith(_STATUS):
            path = path.removesuffix(_STATUS)
            obj = {**found, **({"status": obj["status"]} if "status" in obj else {})}
        elif path.startswith(TOKENS):
            obj = {name: value for name, value in obj.items() if name != "status"}
            obj |= {"status": found["status"]} if "status" in found else {}
            after["generation"] = before["generation"] + (obj["spec"] != found["spec"])
        elif obj["type"] != found["type"] or (
            found.get("immutable") and any(obj.get(part) != found.get(part) for part in _IMMUTABLE)
        ):
            raise ApiError(422, "Invalid", "field is immutable")
        if obj == found:
            return copy.deepcopy(found)
        if "deletionTimestamp" in after and "finalizers" not in after:
            return self._remove(path, obj)
        return self._store("MODIFIED", path, obj)

    def _delete(self, path: str, found: dict[str, Any]) -> dict[str, Any]:
        metadata = found["metadata"]
        if "finalizers" not in metadata:
            return self._remove(path, found)
        if "deletionTimestamp" in metadata:
            return copy.deepcopy(found)
        going = {**metadata, "deletionTimestamp": format_time(self._now())}
        if "generation" in metadata:
            going["generation"] += 1
        return self._store("MODIFIED", path, {**found, "metadata": going})

    def _remove(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        gone = self._store("DELETED", path, obj)
        del self._objects[path]
        return gone

    def _store(self, kind: str, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self._version)}
        obj = self._objects[path] = {**obj, "metadata": metadata}
        change = Change(self._version, kind, path, copy.deepcopy(obj))
        self.changes.append(change)
        self._tell(change)
        return copy.deepcopy(obj)


def _operated(found: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """Do what the operator's one JSON patch asks for: test the UID, then set the status."""
    test, add = operations
    assert (test["op"], test["path"]) == ("test", "/metadata/uid")
    assert (add["op"], add["path"]) == ("add", "/status")
    if test["value"] != found["metadata"]["uid"]:
        raise ApiError(422, "Invalid", "the server rejected our request due to an error in it")
    return {**found, "status": add["value"]}


def _tidy(obj: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is empty, as the API server does."""
    metadata = {
        name: value
        for name, value in obj["metadata"].items()
        if value or name not in ("labels", "annotations", "ownerReferences", "finalizers")
    }
    return {
        name: value for name, value in obj.items() if value or name not in ("data", "status")
    } | {"metadata": metadata}
