"""Sharding: which of several operators serves a resource. No I/O.

A target's name alone decides its shard, so operators need not coordinate, and resources that name
the same target are in one shard, which sees their conflict. When the number of shards changes,
resources move between operators without an exchange: everything known about a token is in its
Secret.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shards; `index` starts at 0."""

    index: int = 0
    count: int = 1

    def has(self, namespace: str, target_name: str) -> bool:
        """Return whether a target belongs to this shard."""
        # Stable across processes and releases, unlike `hash`, and spreads short names well.
        return zlib.crc32(f"{namespace}/{target_name}".encode()) % self.count == self.index

    def serves(self, obj: Mapping[str, Any]) -> bool:
        """Return whether a resource, as the API server sends it, belongs to this shard."""
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        name = (spec.get("target") or {}).get("name") or metadata["name"]
        return self.has(metadata.get("namespace", ""), name)
