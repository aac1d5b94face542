"""Others that write to Secrets again and again: controllers that react to changes."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tests.life.paths import is_secret, parse, secrets_path
from tests.life.small_api import Change

if TYPE_CHECKING:
    from tests.life.world import World

# How fast a controller reacts to a watch event.
_DELAY: Final = 0.05

React = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
"""Returns the merge patch that a writer answers a Secret with; None leaves the Secret alone."""


class Writer:
    """A controller that patches Secrets whenever someone else has changed them.

    Args:
        world: where it writes.
        manager: its name in managed fields.
        react: what it does.
        names: of the Secrets that it cares about.
        delay: how many seconds it takes to react.

    Attributes:
        manager: as above.
        names: as above.
        active: whether it still reacts.
        writes: how often it has written.
    """

    def __init__(
        self,
        world: "World",
        manager: str,
        react: React,
        *names: str,
        delay: float = _DELAY,
    ) -> None:
        self.manager = manager
        self.active = True
        self.writes = 0
        self._world = world
        self._react = react
        self.names = names
        self._delay = delay

    def see(self, change: Change) -> None:
        """Take a change of an object."""
        if (
            self.active
            and change.by != self.manager
            and change.type != "DELETED"
            and is_secret(change.path)
            and parse(change.path).name in self.names
        ):
            self._world.loop.call_later(self._delay, self._act, change.path)

    def _act(self, path: str) -> None:
        secret = self._world.api.find(path)
        patch = self._react(secret) if self.active and secret else None
        if patch is not None:
            self.writes += 1
            self._world.ask("PATCH", path, patch, by=self.manager)


def remover(world: "World", key: str, *names: str) -> Writer:
    """Return a writer that removes a key."""
    return Writer(
        world,
        "key-remover",
        lambda secret: {"data": {key: None}} if key in (secret.get("data") or {}) else None,
        *names,
    )


def reverter(
    world: "World",
    data: Mapping[str, str],
    *names: str,
    manager: str = "gitops-controller",
    delay: float = _DELAY,
) -> Writer:
    """Return a writer that restores its own values, as a GitOps controller does."""
    return Writer(
        world,
        manager,
        lambda secret: (
            {"data": data}
            if any((secret.get("data") or {}).get(key) != value for key, value in data.items())
            else None
        ),
        *names,
        delay=delay,
    )


def stripper(world: "World", part: str, *names: str) -> Writer:
    """Return a writer that removes a part of the metadata, such as labels."""
    return Writer(
        world,
        "policy-engine",
        lambda secret: {"metadata": {part: None}} if part in secret["metadata"] else None,
        *names,
    )


class Replicator:
    """A controller that copies Secrets with their labels and annotations to other namespaces.

    Args:
        world: where it writes.
        name: of the Secret to copy.
        source: the namespace to copy from.
        namespaces: the namespaces to copy to.

    Attributes:
        manager: its name in managed fields.
        active: whether it still copies.
    """

    def __init__(self, world: "World", name: str, source: str, *namespaces: str) -> None:
        self.manager = "replicator"
        self.active = True
        self._world = world
        self._source = f"{secrets_path(source)}/{name}"
        self.namespaces = namespaces

    def see(self, change: Change) -> None:
        """Take a change of an object."""
        if self.active and change.path == self._source and change.type != "DELETED":
            self._world.loop.call_later(_DELAY, self._copy)

    def _copy(self) -> None:
        secret = self._world.api.find(self._source)
        if not self.active or secret is None:
            return
        metadata = {
            part: secret["metadata"][part]
            for part in ("name", "labels", "annotations")
            if part in secret["metadata"]
        }
        copied = {"metadata": metadata, "data": secret.get("data", {})}
        for namespace in self.namespaces:
            path = f"{secrets_path(namespace)}/{metadata['name']}"
            if self._world.api.find(path):
                self._world.ask("PATCH", path, copied, by=self.manager)
            else:
                whole = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", **copied}
                self._world.ask("POST", secrets_path(namespace), whole, by=self.manager)
