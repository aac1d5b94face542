"""What a person should hear of: the changes of a status that are worth an Event. No I/O.

Routine success is none. A failure is told once, when it begins or becomes another, and once more
when it is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.reconcilers.status import READY, REFRESHED

ISSUED: Final = "Issued"
RECOVERED: Final = "Recovered"

# What Ready alone tells; its other reasons repeat what Refreshed says.
_TOLD_OF_READY: Final = (Reason.TOKEN_EXPIRED, Reason.TARGET_CONFLICT, Reason.TARGET_NOT_OWNED)


@dataclass(frozen=True, slots=True)
class News:
    """One Event: Normal or Warning, a reason in one word, and a sentence of our own words."""

    type: str
    reason: str
    message: str


def find_news(status: Mapping[str, Any], previous: Mapping[str, Any]) -> list[News]:
    """Return what is new in a status."""
    ready, refreshed = _condition(status, READY), _condition(status, REFRESHED)
    was_ready, was_refreshed = _condition(previous, READY), _condition(previous, REFRESHED)
    found = [
        News("Warning", now["reason"], now["message"])
        for now, before in ((refreshed, was_refreshed), (ready, was_ready))
        if _is_trouble(now, refreshed) and now.get("reason") != before.get("reason")
    ]
    good = ready.get("status") == "True" and refreshed.get("status") == "True"
    if good and "lastRefreshAt" not in previous:
        found.append(News("Normal", ISSUED, ready["message"]))
    elif good and (_is_trouble(was_refreshed, {}) or was_ready.get("status") == "False"):
        found.append(News("Normal", RECOVERED, ready["message"]))
    return found


def _is_trouble(condition: Mapping[str, Any], refreshed: Mapping[str, Any]) -> bool:
    if condition.get("status") != "False" or condition["reason"] == Reason.SUSPENDED:
        return False
    if condition["type"] == REFRESHED or condition["reason"] in _TOLD_OF_READY:
        return True
    # A target to merge into that is not there: no attempt is made that could fail.
    return refreshed.get("status") != "False"


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), {})
