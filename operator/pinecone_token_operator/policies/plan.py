"""What is to be done, and why; data alone."""

from dataclasses import dataclass
from datetime import datetime

from pinecone_token_operator.api.conditions import Problem
from pinecone_token_operator.targets.stored_token import StoredToken


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """What to do about the token of one resource.

    Attributes:
        why: why a token is to be requested now, half a sentence for the log; empty if none is.
        deliver: a token that is in memory and to be written to the targets.
        problem: why no token is requested although one may be needed.
        scheduled_at: when the schedule wanted the request; None if something else caused it.
        contested: whether another writer caused the request.
        wake_at: when time alone changes this plan; None if it does not.
        outdated: whether the failed attempts say nothing any more, because nothing is due.
        held_until: until when a request waits because of another writer; None if none does.
    """

    why: str = ""
    deliver: StoredToken | None = None
    problem: Problem | None = None
    scheduled_at: datetime | None = None
    contested: bool = False
    wake_at: datetime | None = None
    outdated: bool = False
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """What to do about one target.

    Attributes:
        why: why the target is to be written, half a sentence for the log; empty if it is not.
        write: the token to write.
        set_ownership: whether only who deletes the token is to be set.
        problem: why it is not written although it is not as it should be.
        contested: whether another writer caused the write.
        wake_at: when time alone changes this plan; None if it does not.
        held_until: until when the write waits because of another writer; None if none does.
    """

    why: str = ""
    write: StoredToken | None = None
    set_ownership: bool = False
    problem: Problem | None = None
    contested: bool = False
    wake_at: datetime | None = None
    held_until: datetime | None = None
