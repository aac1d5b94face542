"""Reflector of namespaces: tracks their labels, and reports changes of what selects them.

It keeps name, UID, labels and whether a namespace is being deleted, by metadata only.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pinecone_token_operator.kube.interfaces import ApiServer
from pinecone_token_operator.kube.paths import NAMESPACES
from pinecone_token_operator.watch.health import Namespace as Scope
from pinecone_token_operator.watch.health import WatchHealth
from pinecone_token_operator.watch.reflector import INACTIVITY, Item, Reflector


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace.

    Attributes:
        name: its name.
        uid: its UID; another one of the same name is another namespace.
        labels: its labels.
        terminating: whether it is being deleted, so that nothing can be created in it.
    """

    name: str
    uid: str
    labels: Mapping[str, str]
    terminating: bool = False


Changed = Callable[[Namespace | None, Namespace | None], object]
"""Takes a namespace before and after a change; None where there was, or is, none."""


class Namespaces:
    """The namespaces that the operator serves, as they are now.

    Args:
        api: the API server.
        scopes: the namespaces to watch; a single None means all.
        changed: called with each change that can matter. Must not block.
        monotonic: seconds of a clock that never goes back.
        rng: jitters the delays.
        health: the state of all watches.
        inactivity: how long a watch may receive nothing before it counts as dead.

    Attributes:
        reflectors: one for each scope; to be run.
    """

    def __init__(
        self,
        api: ApiServer,
        scopes: tuple[Scope, ...],
        *,
        changed: Changed,
        monotonic: Callable[[], float],
        rng: random.Random,
        health: WatchHealth | None = None,
        inactivity: timedelta = INACTIVITY,
    ) -> None:
        self._changed = changed
        self._known: dict[str, Namespace] = {}
        self.reflectors = [
            Reflector(
                api,
                NAMESPACES,
                None,
                store=_Scope(scope, self),
                monotonic=monotonic,
                rng=rng,
                health=health,
                # A permission for some names covers a watch of one of them by this selector.
                field_selector=f"metadata.name={scope}" if scope else "",
                inactivity=inactivity,
                scope=scope,
            )
            for scope in scopes
        ]

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Namespace]:
        """Iterate over the namespaces as they are now."""
        return iter(list(self._known.values()))

    def get(self, name: str) -> Namespace | None:
        """Return a namespace, or None if it does not exist or is not served."""
        return self._known.get(name)

    @property
    def synced(self) -> bool:
        """Return whether all scopes were listed: what is missing before may exist."""
        return all(reflector.synced.is_set() for reflector in self.reflectors)

    def put(self, namespace: Namespace) -> None:
        """Take a namespace as it is now."""
        before = self._known.get(namespace.name)
        if before != namespace:
            self._known[namespace.name] = namespace
            self._changed(before, namespace)

    def remove(self, name: str) -> None:
        """Take that a namespace is gone."""
        before = self._known.pop(name, None)
        if before is not None:
            self._changed(before, None)


class _Scope:
    """What one reflector keeps up to date: all namespaces, or one."""

    def __init__(self, scope: Scope, namespaces: Namespaces) -> None:
        self._scope = scope
        self._namespaces = namespaces
        self._found: set[str] = set()

    def begin_list(self) -> None:
        """Prepare for a list."""
        self._found = set()

    def add(self, item: Item) -> None:
        """Take a namespace of the list."""
        namespace = _read(item)
        self._found.add(namespace.name)
        self._namespaces.put(namespace)

    def end_list(self, *, restored: bool) -> None:
        """Take what the whole list lacks for deleted."""
        del restored
        for namespace in self._namespaces:
            in_scope = self._scope is None or namespace.name == self._scope
            if in_scope and namespace.name not in self._found:
                self._namespaces.remove(namespace.name)

    def change(self, event_type: str, item: Item) -> None:
        """Take an event."""
        namespace = _read(item)
        if event_type == "DELETED":
            self._namespaces.remove(namespace.name)
        else:
            self._namespaces.put(namespace)


def _read(item: Item) -> Namespace:
    metadata = item["metadata"]
    return Namespace(
        name=metadata["name"],
        uid=metadata["uid"],
        labels=metadata.get("labels") or {},
        terminating="deletionTimestamp" in metadata,
    )
