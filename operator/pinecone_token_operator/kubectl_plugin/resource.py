"""A resource as the commands show it, read from its object. No I/O, no clock.

Not parsed with pydantic: that takes most of the time a command may take to start, and a resource
that the operator cannot parse must be shown, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.conditions import READY, REFRESHED, TARGETS_READY
from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.kubectl_plugin.kinds import KindEntry, Reference

_SHOWN: Final = (READY, REFRESHED, TARGETS_READY)
NO_STATUS: Final = "no operator has set a status yet"
EXPIRED: Final = "the token has expired, and no operator has reported it"

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of either kind, and its object as the API server sent it."""

    kind: KindEntry
    obj: Object

    @property
    def ref(self) -> Reference:
        """Which resource this is."""
        metadata = self.obj["metadata"]
        return Reference(self.kind, metadata.get("namespace", ""), metadata["name"])

    @property
    def spec(self) -> Object:
        """What the user requests."""
        found: Object = self.obj.get("spec") or {}
        return found

    @property
    def status(self) -> Object:
        """What the operator reports."""
        found: Object = self.obj.get("status") or {}
        return found

    @property
    def uid(self) -> str:
        """The resource's UID."""
        return str(self.obj["metadata"].get("uid", ""))

    @property
    def annotations(self) -> Mapping[str, str]:
        """The resource's annotations."""
        return self.obj["metadata"].get("annotations") or {}

    @property
    def is_suspended(self) -> bool:
        """Whether refreshing is suspended."""
        return self.spec.get("suspend") is True

    @property
    def target(self) -> str:
        """The target Secret's name."""
        return str((self.spec.get("target") or {}).get("name") or self.ref.name)

    @property
    def credentials(self) -> str:
        """The credentials Secret's name."""
        return str((self.spec.get("credentialsSecretRef") or {}).get("name") or "")

    @property
    def conditions(self) -> Sequence[Object]:
        """All conditions."""
        found: Sequence[Object] = self.status.get("conditions") or ()
        return found

    def condition(self, kind: str) -> Object:
        """Return a condition; empty if there is none."""
        return next((each for each in self.conditions if each.get("type") == kind), {})

    def time(self, field: str) -> datetime | None:
        """Return a time of the status; None if it is not set."""
        return parse_moment(self.status.get(field))

    def is_expired(self, now: datetime) -> bool:
        """Return whether the token that the status reports has expired."""
        expires_at = self.time("expiresAt")
        return expires_at is not None and expires_at <= now

    def is_ready(self, now: datetime) -> bool:
        """Return whether the target holds a valid token, whatever an absent operator said last."""
        return self.condition(READY).get("status") == "True" and not self.is_expired(now)

    def is_unseen(self) -> bool:
        """Return whether no operator has reconciled the resource."""
        return not self.conditions

    def problem(self, now: datetime) -> Object:
        """Return the first condition that is not as it should be; empty if all are."""
        for kind in _SHOWN:
            condition = self.condition(kind)
            if condition and condition.get("status") != "True":
                return condition
        if self.is_expired(now):
            return {"type": READY, "reason": "TokenExpired", "message": EXPIRED}
        return {}

    def message(self, now: datetime) -> str:
        """Return what to know about the resource in one line; empty if all is well."""
        if self.is_unseen():
            return NO_STATUS
        problem = self.problem(now)
        return f"{problem.get('reason')}: {problem.get('message')}" if problem else ""


def duration(delta: timedelta) -> str:
    """Return a duration as kubectl prints ages: 45s, 9m30s, 29m, 5h, 3d."""
    seconds = max(0, int(delta.total_seconds()))
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 10 * _MINUTE:
        rest = seconds % _MINUTE
        return f"{seconds // _MINUTE}m" + (f"{rest}s" if rest else "")
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    return f"{seconds // _HOUR}h" if seconds < 2 * _DAY else f"{seconds // _DAY}d"


def until(moment: datetime | None, now: datetime, past: str) -> str:
    """Return how long until a moment; `past` if it is over, a hyphen if there is none."""
    if moment is None:
        return "-"
    return duration(moment - now) if moment > now else past


def since(moment: datetime | None, now: datetime) -> str:
    """Return how long since a moment; a hyphen if there is none."""
    return "-" if moment is None else duration(now - moment)
