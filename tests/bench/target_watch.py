"""Records every change of the target Secrets, as the API server reports it."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tests.support.cluster import Cluster
from tests.support.documented import EXPIRES_AT, REFRESH_AT, REFRESHED_AT, RESOURCE_UID
from tests.support.watch import CollectionWatch

_TARGETS = f"/api/v1/secrets?labelSelector={RESOURCE_UID}"
_TIMEOUT = 1800.0
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a target.

    Attributes:
        at: when it was reported, in seconds of `time.monotonic`.
        exists: False if the target was deleted.
        refreshed_at: when its token was fetched, in seconds of `time.time`.
        expires_at: when its token expires, likewise.
        refresh_at: when its token is planned to be refreshed, likewise.
    """

    at: float
    exists: bool
    refreshed_at: float
    expires_at: float
    refresh_at: float


class TargetWatch(CollectionWatch):
    """Follows all targets of a cluster until it is left.

    Attributes:
        versions: the versions of each target, by name, in order.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, _TARGETS, self._record, metadata_only=True)
        self.versions: defaultdict[str, list[Version]] = defaultdict(list)
        self._changed = threading.Condition()

    def wait_for(self, count: int) -> float:
        """Wait until so many targets have existed; return when the last of them appeared.

        Raises:
            TimeoutError: they did not appear in time.
        """
        with self._changed:
            self._wait(lambda: len(self.versions) >= count, f"{count} targets", _TIMEOUT)
        return sorted(versions[0].at for versions in self.versions.values())[count - 1]

    def wait_for_next(self, name: str, since: int, timeout: float = 30.0) -> Version:
        """Return the first version of a target that exists, after so many versions.

        Raises:
            TimeoutError: there was none in time.
        """

        def found() -> Version | None:
            return next((one for one in self.versions[name][since:] if one.exists), None)

        with self._changed:
            self._wait(found, f"a new token of {name}", timeout)
            version = found()
        assert version is not None
        return version

    def _wait(self, condition: Callable[[], object], what: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self._changed.wait_for(condition, _POLL_SECONDS):
            if self.failure is not None or time.monotonic() > deadline:
                raise TimeoutError(f"timed out waiting for {what}") from self.failure

    def _record(self, type_: str, secret: Mapping[str, Any]) -> None:
        at = time.monotonic()
        metadata = secret["metadata"]
        annotations = metadata["annotations"]
        version = Version(
            at,
            type_ != "DELETED",
            *(
                datetime.fromisoformat(annotations[name]).timestamp()
                for name in (REFRESHED_AT, EXPIRES_AT, REFRESH_AT)
            ),
        )
        with self._changed:
            versions = self.versions[metadata["name"]]
            # A watch that starts again may report what exists once more.
            if not versions or replace(version, at=versions[-1].at) != versions[-1]:
                versions.append(version)
                self._changed.notify_all()
