"""What is to be done about a resource, and what to say of it; data alone."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from pinecone_token_operator.policies.observed import Problem
from pinecone_token_operator.targets.target import StoredToken


class Action(Enum):
    """What to do."""

    REST = auto()
    EXCHANGE = auto()
    WRITE = auto()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and what to say.

    Attributes:
        action: what to do.
        why: half a sentence for the log.
        token: what to write, for WRITE.
        not_ready: why the target cannot be vouched for, whatever it holds.
        not_refreshed: why no attempt is made.
        planned_at: when the schedule wanted the exchange; None if something else asked for it.
    """

    action: Action
    why: str
    token: StoredToken | None = None
    not_ready: Problem | None = None
    not_refreshed: Problem | None = None
    planned_at: datetime | None = None
