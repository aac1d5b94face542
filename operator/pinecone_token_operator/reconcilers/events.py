"""Selects the status transitions that are recorded as Events. No I/O.

Routine success is none. A failure is recorded once, when it begins or becomes another, and once
more when it is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pinecone_token_operator.api.conditions import READY, REFRESHED, TARGETS_READY, Reason

ISSUED: Final = "Issued"
RECOVERED: Final = "Recovered"

# What Ready alone reports; its other reasons repeat what Refreshed says.
_REPORTED_BY_READY: Final = (
    Reason.TOKEN_EXPIRED,
    Reason.TARGET_CONFLICT,
    Reason.TARGET_NOT_OWNED,
    Reason.RESOURCE_INVALID,
)


@dataclass(frozen=True, slots=True)
class Transition:
    """One Event to record: Normal or Warning, a CamelCase reason, and our own sentence."""

    type: str
    reason: str
    message: str


def find_transitions(status: Mapping[str, Any], previous: Mapping[str, Any]) -> list[Transition]:
    """Return the transitions from one status to the next."""
    ready, refreshed = _condition(status, READY), _condition(status, REFRESHED)
    was_ready, was_refreshed = _condition(previous, READY), _condition(previous, REFRESHED)
    targets, were_targets = _condition(status, TARGETS_READY), _condition(previous, TARGETS_READY)
    found = [
        Transition("Warning", now["reason"], now["message"])
        for now, before in (
            (refreshed, was_refreshed),
            (ready, was_ready),
            (targets, were_targets),
        )
        if _is_trouble(now, refreshed) and now.get("reason") != before.get("reason")
    ]
    good = ready.get("status") == "True" and refreshed.get("status") == "True"
    if good and "lastRefreshAt" not in previous:
        found.append(Transition("Normal", ISSUED, ready["message"]))
    elif good and (_is_failure(was_refreshed) or was_ready.get("status") == "False"):
        found.append(Transition("Normal", RECOVERED, ready["message"]))
    elif targets.get("status") == "True" and _is_failure(were_targets):
        found.append(Transition("Normal", RECOVERED, targets["message"]))
    return found


def _is_trouble(condition: Mapping[str, Any], refreshed: Mapping[str, Any]) -> bool:
    if condition.get("reason") == Reason.TARGET_INCOMPLETE:
        return True
    if not _is_failure(condition):
        return False
    if condition["type"] in (REFRESHED, TARGETS_READY) or condition["reason"] in _REPORTED_BY_READY:
        return True
    # There is nothing to merge into: no attempt is made that could fail.
    return refreshed.get("status") != "False"


def _is_failure(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == "False" and condition["reason"] != Reason.SUSPENDED


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), {})
