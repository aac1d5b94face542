"""A model of the API server that is just large enough for the operator's requests.

A real API server takes a hundred times as long. The model leaves out: defaults, pruning and
validation (send whole and valid objects), server-side apply, selectors other than 'has this label',
authentication, managed fields of anything but Secrets, and every kind but Secrets and
PineconeAccessTokens. A test plays the same requests on the model and on a real API server: see
tests/integration/support/test_small_api.py.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tests.life.admission import Admission, Review
from tests.life.json_copy import json_copy
from tests.life.json_patch import apply_operations
from tests.life.managed_fields import OPERATOR, USER, updated
from tests.life.paths import is_resource, is_secret
from tests.life.refused import RefusedError
from tests.life.rights import Rights
from tests.support.merge_patch import merge

Body = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""An object, a merge patch, or the operations of a JSON patch."""

_STATUS: Final = "/status"
_IMMUTABLE: Final = ("data", "immutable")
_OMITTED_IF_EMPTY: Final = ("labels", "annotations", "ownerReferences", "finalizers")


@dataclass(frozen=True, slots=True)
class Call:
    """A request and its response."""

    method: str
    path: str
    body: Any
    by: str
    status: int
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that was stored at one moment."""

    version: int
    objects: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Change:
    """An object that was created, changed or deleted.

    Attributes:
        version: the resourceVersion.
        type: ADDED, MODIFIED or DELETED, as in a watch event.
        path: of the object.
        by: who did it.
        before: the object before; None if it was created.
        object: the object after.
    """

    version: int
    type: str
    path: str
    by: str
    before: Mapping[str, Any] | None
    object: Mapping[str, Any]


class SmallApi:
    """An API server without any delay.

    Stored objects are replaced, never changed, so that they are returned without a copy.

    Args:
        now: the clock.
        notify: called with each change.
        called: called with each request and its response.

    Attributes:
        changes: every change so far, by collection.
        rights: the operator's permissions.
        admission: what changes or refuses writes, in order.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        notify: Callable[[Change], None],
        called: Callable[[Call], None],
    ) -> None:
        self.changes: defaultdict[str, list[Change]] = defaultdict(list)
        self.rights = Rights()
        self.admission: list[Admission] = []
        self._now = now
        self._notify = notify
        self._called = called
        self._objects: dict[str, dict[str, Any]] = {}
        self._defaulted: set[str] = set()
        self._created = 0
        self._version = 0

    @property
    def version(self) -> int:
        """Return the resourceVersion of the latest change."""
        return self._version

    def find(self, path: str) -> Mapping[str, Any] | None:
        """Return an object as it is, without a request."""
        return self._objects.get(path)

    def items(self, collection: str, label: str | None = None) -> list[Mapping[str, Any]]:
        """Return the objects of a collection, without a request."""
        return [
            obj
            for path, obj in sorted(self._objects.items())
            if path.rpartition("/")[0] == collection
            and (label is None or label in obj["metadata"].get("labels", {}))
        ]

    def snapshot(self) -> Snapshot:
        """Return everything that is stored, for `restore`."""
        return Snapshot(self._version, dict(self._objects))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, as etcd does from a backup: resourceVersions go back too.

        Watches do not learn of it; whoever watches has to list again.
        """
        self._version, self._objects = snapshot.version, dict(snapshot.objects)
        for changes in self.changes.values():
            changes[:] = [change for change in changes if change.version <= self._version]

    def put(self, path: str, obj: Mapping[str, Any]) -> None:
        """Store an object as it is, with its UID and its creation time, as some backup tools do."""
        self._store("ADDED", path, json_copy(dict(obj)), USER)

    def call(
        self, method: str, path: str, body: Body | None = None, by: str = USER
    ) -> Mapping[str, Any]:
        """Make a request; the body of a PATCH is a merge patch, or a list for a JSON patch.

        Raises:
            RefusedError: as the API server would refuse it.
        """
        sent = None if body is None else json.loads(json.dumps(body))
        try:
            if by == OPERATOR:
                self.rights.check(method, path)
            answer = self._serve(method, path, sent, by)
        except RefusedError as error:
            self._called(Call(method, path, sent, by, error.status, {}))
            raise
        self._called(Call(method, path, sent, by, 200, answer))
        return answer

    def _serve(self, method: str, path: str, body: Any, by: str) -> dict[str, Any]:
        if method == "POST":
            return self._create(f"{path}/{body['metadata']['name']}", body, by)
        found = self._objects.get(path.removesuffix(_STATUS))
        if found is None:
            raise RefusedError(404, "NotFound", f"{path} not found")
        if method == "PATCH":
            patched = (
                apply_operations(found, body) if isinstance(body, list) else merge(found, body)
            )
            return self._update(path, found, patched, by)
        if method == "PUT":
            metadata = {**_identity(found), **body["metadata"]}
            return self._update(path, found, {**body, "metadata": metadata}, by)
        if method == "DELETE":
            return self._delete(path, found, by)
        return found

    def _create(self, path: str, body: dict[str, Any], by: str) -> dict[str, Any]:
        if path in self._objects:
            raise RefusedError(409, "AlreadyExists", f"{path} already exists")
        self._created += 1
        metadata = {
            **body["metadata"],
            "namespace": path.split("/")[-3],
            "uid": f"00000000-0000-4000-8000-{self._created:012}",
            "creationTimestamp": f"{self._now():%Y-%m-%dT%H:%M:%SZ}",
        }
        obj = {**body, "metadata": metadata}
        if is_resource(path):
            obj["status"] = {"observedGeneration": -1}  # the default in the CRD
            self._defaulted.add(path)
            metadata["generation"] = 1
        return self._store("ADDED", path, self._admit(path, None, _tidy(obj), by), by)

    def _update(
        self, path: str, found: dict[str, Any], whole: dict[str, Any], by: str
    ) -> dict[str, Any]:
        obj = _tidy(whole)
        before, after = found["metadata"], obj["metadata"]
        is_status = path.endswith(_STATUS)
        if after["resourceVersion"] != before["resourceVersion"]:
            raise RefusedError(409, "Conflict", "the object has been modified")
        # The status subresource ignores metadata, even the UID.
        if after["uid"] != before["uid"] and not is_status:
            raise RefusedError(422, "Invalid", "metadata.uid: field is immutable")
        if is_status:
            path = path.removesuffix(_STATUS)
            obj = {**found, **({"status": whole["status"]} if "status" in whole else {})}
        elif is_resource(path):
            obj = {name: value for name, value in obj.items() if name != "status"}
            obj |= {"status": found["status"]} if "status" in found else {}
            after["generation"] = before["generation"] + (obj["spec"] != found["spec"])
        elif obj["type"] != found["type"] or (
            found.get("immutable") and any(obj.get(part) != found.get(part) for part in _IMMUTABLE)
        ):
            raise RefusedError(422, "Invalid", "field is immutable")
        if not is_status:
            obj = self._admit(path, found, obj, by)
            after = obj["metadata"]
        # The first write of a resource stores the default of its status, too.
        if obj == found and path not in self._defaulted:
            return found
        self._defaulted.discard(path)
        if "deletionTimestamp" in after and "finalizers" not in after:
            return self._remove(path, obj, by)
        return self._store("MODIFIED", path, obj, by)

    def _admit(
        self, path: str, before: Mapping[str, Any] | None, after: dict[str, Any], by: str
    ) -> dict[str, Any]:
        for admission in self.admission:
            operation = "CREATE" if before is None else "UPDATE"
            after = _tidy(admission(Review(operation, path, by, before, after)))
        return after

    def _delete(self, path: str, found: dict[str, Any], by: str) -> dict[str, Any]:
        metadata = found["metadata"]
        if "finalizers" not in metadata:
            return self._remove(path, found, by)
        if "deletionTimestamp" in metadata:
            return found
        deleting = {**metadata, "deletionTimestamp": f"{self._now():%Y-%m-%dT%H:%M:%SZ}"}
        if "generation" in metadata:
            deleting["generation"] += 1
        return self._store("MODIFIED", path, {**found, "metadata": deleting}, by)

    def _remove(self, path: str, obj: dict[str, Any], by: str) -> dict[str, Any]:
        removed = self._store("DELETED", path, obj, by)
        del self._objects[path]
        return removed

    def _store(self, kind: str, path: str, obj: dict[str, Any], by: str) -> dict[str, Any]:
        self._version += 1
        before = self._objects.get(path)
        metadata = {**obj["metadata"], "resourceVersion": str(self._version)}
        if is_secret(path):
            metadata["managedFields"] = updated(before, obj, by, self._now())
        obj = self._objects[path] = {**obj, "metadata": metadata}
        change = Change(self._version, kind, path, by, before, obj)
        self.changes[path.rpartition("/")[0]].append(change)
        self._notify(change)
        return obj


def _identity(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an update keeps if it does not say otherwise."""
    kept = ("uid", "resourceVersion", "creationTimestamp", "namespace", "generation")
    return {name: obj["metadata"][name] for name in kept if name in obj["metadata"]}


def _tidy(obj: dict[str, Any]) -> dict[str, Any]:
    """Omit what is empty, as the API server does."""
    metadata = {
        name: value
        for name, value in obj["metadata"].items()
        if value or name not in _OMITTED_IF_EMPTY
    }
    return {
        name: value for name, value in obj.items() if value or name not in ("data", "status")
    } | {"metadata": metadata}
