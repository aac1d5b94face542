"""Witness: what other writers did, and what became of what is theirs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.chaos.records import Belonging, Claim, Fight, Key, Unlabelling


class Witness:
    """Collects what the faults of other writers have seen, from any thread.

    Attributes:
        fights: with other writers.
        belongings: what others put into the cluster.
        claims: of several resources on one target.
        claimed: every target that is not a member's.
        unlabellings: of namespaces with copies.
        requests: when a refresh of a resource was requested.
        backups: targets as they were a while ago, by key.
    """

    def __init__(self) -> None:
        self.fights: list[Fight] = []
        self.belongings: list[Belonging] = []
        self.claims: list[Claim] = []
        self.claimed: set[Key] = set()
        self.unlabellings: list[Unlabelling] = []
        self.requests: dict[Key, list[float]] = {}
        self.backups: dict[Key, Mapping[str, Any]] = {}

    def compare(
        self, what: str, before: Mapping[str, Any], after: Mapping[str, Any] | None
    ) -> None:
        """Record a Secret of someone else's and what it is now."""
        now = None if after is None else parts(after)
        self.belongings.append(Belonging(what, parts(before), now))

    def compare_parts(self, what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Record parts of a Secret that someone else added, and what they are now."""
        added, found = parts(before), parts(after)
        now = {name: found[name] for name in added.keys() & found.keys()}
        self.belongings.append(Belonging(what, added, now))


def parts(secret: Mapping[str, Any]) -> dict[str, str]:
    """Return a digest of each part of a Secret, by its name; digests show no secret."""
    return {name: _digest(value) for name, value in _parts(secret)}


def _parts(secret: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    metadata = secret.get("metadata") or {}
    for word, values in (
        ("key", secret.get("data")),
        ("label", metadata.get("labels")),
        ("annotation", metadata.get("annotations")),
    ):
        for name, value in (values or {}).items():
            yield f"{word} {name}", value
    if references := metadata.get("ownerReferences"):
        yield "owner references", references


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
