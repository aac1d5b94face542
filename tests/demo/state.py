"""What the demo has seen of each resource and its target, and never the token itself."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.demo.objects import NAMESPACE
from tests.support.api import Kube, secret_path, token_path
from tests.support.token_endpoint import TokenEndpoint

NONE = "-"


def fingerprint(token: str) -> str:
    """Return what may be shown of a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:8]


@dataclass(slots=True)
class Row:
    """One resource.

    Attributes:
        credentials: the name of its credentials Secret. target: of its target Secret.
        token: the fingerprint of what the target holds, '-' if that is nothing.
        genuine: whether the token endpoint issued that token.
        life: seconds until it expires. least: the least life ever seen.
        seen: fingerprints of all issued tokens that the target ever held.
    """

    name: str
    credentials: str = ""
    target: str = ""
    ready: str = "Unknown"
    refreshed: str = "Unknown"
    reason: str = NONE
    token: str = NONE
    genuine: bool = False
    life: float | None = None
    least: float | None = None
    seen: set[str] = field(default_factory=set)

    @property
    def refreshes(self) -> int:
        """Return how many tokens came after the first."""
        return max(len(self.seen) - 1, 0)

    @property
    def well(self) -> bool:
        """Return whether all is as it should be."""
        return self.genuine and self.ready == "True" and self.refreshed == "True"

    @property
    def expired(self) -> bool:
        """Return whether the target was ever seen with a token whose time was over."""
        return self.least is not None and self.least <= 0


class State:
    """All rows, brought up to date by `look`."""

    def __init__(self, kube: Kube, endpoint: TokenEndpoint) -> None:
        self.rows: dict[str, Row] = {}
        self._kube = kube
        self._endpoint = endpoint
        self._issued: set[str] = set()
        self._known = 0

    @property
    def well(self) -> bool:
        """Return whether there are resources, and all is well with each."""
        return bool(self.rows) and all(row.well for row in self.rows.values())

    @property
    def least(self) -> float | None:
        """Return the least life ever seen in any target."""
        return min((row.least for row in self.rows.values() if row.least is not None), default=None)

    @property
    def refreshes(self) -> int:
        """Return how many tokens came after the first ones."""
        return sum(row.refreshes for row in self.rows.values())

    def look(self) -> None:
        """Read all resources and Secrets of the namespace."""
        tokens = self._items(token_path(NAMESPACE))
        secrets = self._items(secret_path(NAMESPACE))
        now = datetime.now(UTC)
        # After the Secrets, so that every token in them is among those that were issued.
        issued = self._endpoint.tokens
        self._issued |= {fingerprint(token) for token in issued[self._known :]}
        self._known = len(issued)
        for name, resource in tokens.items():
            row = self.rows.setdefault(name, Row(name))
            _read_resource(row, resource)
            self._read_target(row, secrets.get(row.target, {}).get("data") or {}, now)

    def _items(self, path: str) -> dict[str, dict[str, Any]]:
        found = self._kube.get(path) or {}
        return {item["metadata"]["name"]: item for item in found.get("items", [])}

    def _read_target(self, row: Row, data: Mapping[str, str], now: datetime) -> None:
        row.token, row.genuine, row.life = NONE, False, None
        if "access_token" not in data:
            return
        row.token = fingerprint(_text(data["access_token"]))
        row.genuine = row.token in self._issued
        if row.genuine:
            row.seen.add(row.token)
        try:
            expiry = datetime.fromisoformat(_text(data.get("expires_at", "")))
        except ValueError:
            return  # the reader may join in and damage things too
        row.life = (expiry - now).total_seconds()
        row.least = row.life if row.least is None else min(row.least, row.life)


def _read_resource(row: Row, resource: Mapping[str, Any]) -> None:
    spec = resource["spec"]
    row.credentials = spec["credentialsSecretRef"]["name"]
    row.target = spec.get("target", {}).get("name") or row.name
    conditions = {
        condition["type"]: condition
        for condition in resource.get("status", {}).get("conditions", [])
    }
    row.ready = conditions.get("Ready", {}).get("status", "Unknown")
    row.refreshed = conditions.get("Refreshed", {}).get("status", "Unknown")
    row.reason = conditions.get("Refreshed", {}).get("reason", NONE)


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
