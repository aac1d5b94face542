"""What the demo knows about each resource and its target, without the token itself."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.demo.objects import NAMESPACE, SHARED, SHARED_NAMESPACES, SHARED_TARGET
from tests.support.api import Kube, secret_path, token_path
from tests.support.conditions import state
from tests.support.documented import CLUSTER_PLURAL, GROUP, VERSION
from tests.support.encoding import text
from tests.support.token_endpoint import TokenEndpoint

NONE = "-"
_SHARED_PATH = f"/apis/{GROUP}/{VERSION}/{CLUSTER_PLURAL}/{SHARED}"
_NO_SPEC = {"credentialsSecretRef": {"name": ""}}


def fingerprint(token: str) -> str:
    """Return a short hash, which may be shown instead of a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:8]


@dataclass(slots=True)
class Row:
    """One resource.

    Attributes:
        name: of the resource.
        credentials: the name of its credentials Secret.
        target: the name of its target Secret.
        ready: the status of its condition Ready.
        refreshed: the status of its condition Refreshed.
        reason: the reason of its condition Refreshed.
        token: the fingerprint of the token in the target, '-' if there is none.
        genuine: whether the token endpoint issued that token.
        remaining: its remaining lifetime in seconds.
        shortest: the shortest remaining lifetime ever seen.
        seen: the fingerprints of all issued tokens that the target has ever held.
        copies: of a token for several namespaces, the fingerprint in each that has one.
    """

    name: str
    credentials: str = ""
    target: str = ""
    ready: str = "Unknown"
    refreshed: str = "Unknown"
    reason: str = NONE
    token: str = NONE
    genuine: bool = False
    remaining: float | None = None
    shortest: float | None = None
    seen: set[str] = field(default_factory=set)
    copies: dict[str, str] = field(default_factory=dict)

    @property
    def refreshes(self) -> int:
        """Return how many tokens came after the first."""
        return max(len(self.seen) - 1, 0)

    @property
    def healthy(self) -> bool:
        """Return whether the target holds an issued token and all conditions are True."""
        return self.genuine and self.ready == "True" and self.refreshed == "True"

    @property
    def expired(self) -> bool:
        """Return whether the target was ever seen with an expired token."""
        return self.shortest is not None and self.shortest <= 0


class State:
    """All rows; `update` reads them again.

    Args:
        kube: the client.
        endpoint: issued the tokens.
        shared: whether there is a token for several namespaces.
    """

    def __init__(self, kube: Kube, endpoint: TokenEndpoint, *, shared: bool) -> None:
        self.rows: dict[str, Row] = {}
        self._kube = kube
        self._endpoint = endpoint
        self._shared = shared
        self._issued: set[str] = set()
        self._known = 0

    @property
    def healthy(self) -> bool:
        """Return whether there are resources and all of them are healthy."""
        return bool(self.rows) and all(row.healthy for row in self.rows.values())

    @property
    def shortest(self) -> float | None:
        """Return the shortest remaining lifetime ever seen in any target, in seconds."""
        found = (row.shortest for row in self.rows.values() if row.shortest is not None)
        return min(found, default=None)

    @property
    def refreshes(self) -> int:
        """Return how many tokens came after the first ones."""
        return sum(row.refreshes for row in self.rows.values())

    def update(self) -> None:
        """Read all resources and Secrets of the namespace."""
        tokens = self._items(token_path(NAMESPACE))
        secrets = self._items(secret_path(NAMESPACE))
        copies = self._copies() if self._shared else {}
        now = datetime.now(UTC)
        # After the Secrets, so that every token in them is among those that were issued.
        issued = self._endpoint.tokens
        self._issued |= {fingerprint(token) for token in issued[self._known :]}
        self._known = len(issued)
        for name, resource in tokens.items():
            row = self.rows.setdefault(name, Row(name))
            _read_resource(row, resource)
            self._read_target(row, secrets.get(row.target, {}).get("data") or {}, now)
        if self._shared:
            row = self.rows.setdefault(SHARED, Row(SHARED))
            _read_resource(row, self._kube.get(_SHARED_PATH) or {"spec": _NO_SPEC})
            row.copies = {
                name: fingerprint(text(data, "access_token")) for name, data in copies.items()
            }
            # The one that expires first counts; times in this format compare as texts.
            first = min(copies.values(), key=lambda data: text(data, "expires_at"), default={})
            self._read_target(row, first, now)
            row.genuine = bool(copies) and set(row.copies.values()) <= self._issued

    def _copies(self) -> dict[str, Mapping[str, str]]:
        """Return the data of each copy by its namespace."""
        found = {}
        for name in SHARED_NAMESPACES:
            data = (self._kube.get(secret_path(name, SHARED_TARGET)) or {}).get("data") or {}
            if data:
                found[name] = data
        return found

    def _items(self, path: str) -> dict[str, dict[str, Any]]:
        found = self._kube.get(path) or {}
        return {item["metadata"]["name"]: item for item in found.get("items", [])}

    def _read_target(self, row: Row, data: Mapping[str, str], now: datetime) -> None:
        row.token, row.genuine, row.remaining = NONE, False, None
        if "access_token" not in data:
            return
        row.token = fingerprint(text(data, "access_token"))
        row.genuine = row.token in self._issued
        if row.genuine:
            row.seen.add(row.token)
        try:
            expiry = datetime.fromisoformat(text(data, "expires_at"))
        except ValueError:
            return  # the reader may join in and overwrite things too
        row.remaining = (expiry - now).total_seconds()
        row.shortest = row.remaining if row.shortest is None else min(row.shortest, row.remaining)


def _read_resource(row: Row, resource: Mapping[str, Any]) -> None:
    spec = resource["spec"]
    row.credentials = spec["credentialsSecretRef"]["name"]
    row.target = spec.get("target", {}).get("name") or row.name
    row.ready = state(resource, "Ready")[0] or "Unknown"
    refreshed, reason = state(resource, "Refreshed")
    row.refreshed, row.reason = refreshed or "Unknown", reason or NONE
