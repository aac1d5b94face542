"""Reflector of Secrets: tracks their versions and reports changes to those that missed them.

It keeps uid and resourceVersion of only those names that some resource refers to, so memory follows
the number of resources, not the number of Secrets in the cluster.
"""

import random
import sys
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pinecone_token_operator.kube import secret_types
from pinecone_token_operator.kube.interfaces import ApiServer
from pinecone_token_operator.kube.paths import SECRETS
from pinecone_token_operator.kube.versions import is_newer
from pinecone_token_operator.small_sets import with_member
from pinecone_token_operator.watch.health import Namespace, WatchHealth
from pinecone_token_operator.watch.reflector import INACTIVITY, Item, Reflector

Key = tuple[str, str]
"""A Secret's (namespace, name)."""

_FIELD_SELECTOR: Final = ",".join(f"type!={each}" for each in secret_types.UNWATCHED)


@dataclass(slots=True)
class _Known:
    """A Secret as it was seen last, or the version of its deletion.

    Attributes:
        seen_by: who has read or written this version.
    """

    uid: str
    version: str
    seen_by: Collection[Hashable] = ()


class SecretReflector:
    """Calls `changed` for each wanted Secret that exists at a list, changes or is deleted.

    Args:
        api: the API server.
        namespace: the namespace to watch; None means all.
        is_wanted: returns whether some resource refers to a Secret.
        changed: takes the Secret's key, and those who have seen the version already, by `note`:
            everyone else who refers to the Secret must be notified. Must not block.
        monotonic: seconds of a clock that never goes back.
        rng: jitters the delays.
        health: the state of all watches; by default of this one only.
        inactivity: how long a watch may receive nothing before it counts as dead.
    """

    def __init__(
        self,
        api: ApiServer,
        namespace: Namespace,
        *,
        is_wanted: Callable[[Key], bool],
        changed: Callable[[Key, Collection[Hashable]], object],
        monotonic: Callable[[], float],
        rng: random.Random,
        health: WatchHealth | None = None,
        inactivity: timedelta = INACTIVITY,
    ) -> None:
        self._is_wanted = is_wanted
        self._changed = changed
        self._known: dict[Key, _Known] = {}
        self._before: dict[Key, _Known] = {}
        self._found: dict[Key, _Known] = {}
        self._reflector = Reflector(
            api,
            SECRETS,
            namespace,
            store=self,
            monotonic=monotonic,
            rng=rng,
            health=health,
            field_selector=_FIELD_SELECTOR,
            inactivity=inactivity,
        )
        self.run = self._reflector.run
        self.synced = self._reflector.synced
        self.begun = self._reflector.begun

    @property
    def last_progress(self) -> float:
        """When the API server last sent something, or an error was handled; see `Reflector`."""
        return self._reflector.last_progress

    def resource_version(self, key: Key) -> str | None:
        """Return a Secret's version as seen last; None if changes are not reported at the moment.

        Of a deleted Secret it is the version of its deletion.
        """
        identity = self.identity(key)
        return identity[1] if identity else None

    def identity(self, key: Key) -> tuple[str, str] | None:
        """Return a Secret's UID and version as seen last; see `resource_version`."""
        known = self._known.get(key)
        return (known.uid, known.version) if known and self._reflector.is_current else None

    def note(
        self, key: Key, uid: str, resource_version: str, *, by: Hashable | None = None
    ) -> None:
        """Remember the version that someone has just read or written.

        Args:
            key: the Secret.
            uid: its UID.
            resource_version: the version.
            by: who; changed is not called for them because of this version.
        """
        known = self._known.get(key)
        if known is None or (known.uid, known.version) != (uid, resource_version):
            # The event may have arrived before the reply to the request.
            if known and is_newer(known.version, resource_version):
                return
            known = self._known[key] = _Known(uid, resource_version)
        if by is not None:
            known.seen_by = with_member(known.seen_by, by)

    def forget(self, key: Key) -> None:
        """Forget a Secret that no resource refers to any more."""
        self._known.pop(key, None)

    # What the reflector calls

    def begin_list(self) -> None:
        """Prepare for a list."""
        self._before, self._found = dict(self._known), {}

    def add(self, item: Item) -> None:
        """Take a Secret of the list."""
        key, known = _identify(item)
        if self._is_wanted(key):
            self._found[key] = known

    def end_list(self, *, restored: bool) -> None:
        """Take the list as the truth, except for what was written while it was read."""
        before, found = self._before, self._found
        self._before, self._found = {}, {}
        for key in before.keys() | found.keys():
            if not self._is_wanted(key):
                continue
            known, listed = self._known.get(key), found.get(key)
            noted = known is not before.get(key)
            if known and noted and (listed is None or is_newer(known.version, listed.version)):
                continue  # it was written after the list's moment: the watch reports it
            if listed is None:
                self._known.pop(key, None)
            elif restored or known is None or not _is_same(known, listed):
                self._known[key] = listed
            self._report(key)

    def change(self, event_type: str, item: Item) -> None:
        """Take an event of a Secret.

        A deleted Secret is kept with the version of its deletion, so that the late reply to an
        earlier request does not bring it back.
        """
        del event_type
        key, seen = _identify(item)
        if not self._is_wanted(key):
            self._known.pop(key, None)
            return
        known = self._known.get(key)
        if known is None or not _is_same(known, seen):
            if known and known.uid == seen.uid and is_newer(known.version, seen.version):
                return
            self._known[key] = seen
        self._report(key)

    def _report(self, key: Key) -> None:
        known = self._known.get(key)
        self._changed(key, frozenset(known.seen_by if known else ()))


class SecretVersions:
    """Asks the reflector of a Secret's namespace.

    Args:
        reflectors: by namespace; one for None watches all namespaces.
    """

    def __init__(self, reflectors: Mapping[str | None, SecretReflector]) -> None:
        self._reflectors = reflectors

    def resource_version(self, key: Key) -> str | None:
        """Return a Secret's resourceVersion as last seen; None if no watch reports it."""
        reflector = self._of(key)
        return reflector.resource_version(key) if reflector else None

    def identity(self, key: Key) -> tuple[str, str] | None:
        """Return a Secret's UID and resourceVersion as last seen; None if no watch reports it."""
        reflector = self._of(key)
        return reflector.identity(key) if reflector else None

    def note(
        self, key: Key, uid: str, resource_version: str, *, by: Hashable | None = None
    ) -> None:
        """Remember the version that someone has just read or written; see `SecretReflector`."""
        if reflector := self._of(key):
            reflector.note(key, uid, resource_version, by=by)

    def forget(self, key: Key) -> None:
        """Forget a Secret that no resource refers to any more."""
        if reflector := self._of(key):
            reflector.forget(key)

    def _of(self, key: Key) -> SecretReflector | None:
        return self._reflectors.get(key[0]) or self._reflectors.get(None)


def _is_same(one: _Known, other: _Known) -> bool:
    return (one.uid, one.version) == (other.uid, other.version)


def _identify(item: Item) -> tuple[Key, _Known]:
    metadata = item["metadata"]
    return (
        (sys.intern(metadata["namespace"]), metadata["name"]),
        _Known(metadata["uid"], metadata["resourceVersion"]),
    )
