"""Which of several operators serves a resource. No I/O.

Each shard serves the resources whose target's name falls to it. Resources that name one target are
in one shard, which so sees their conflict; the names alone decide, so operators need not talk.
Where the number of shards changes, resources move, and their tokens stay: what is known of a token
is in its Secret.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shards, by its index from 0."""

    index: int = 0
    count: int = 1

    def has(self, namespace: str, target_name: str) -> bool:
        """Return whether a target falls to this shard."""
        # Stable between processes and releases, unlike `hash`, and spreads short names well.
        return zlib.crc32(f"{namespace}/{target_name}".encode()) % self.count == self.index

    def serves(self, obj: Mapping[str, Any]) -> bool:
        """Return whether a resource, as the API server sends it, falls to this shard."""
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        name = (spec.get("target") or {}).get("name") or metadata["name"]
        return self.has(metadata["namespace"], name)
