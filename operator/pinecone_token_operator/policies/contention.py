"""Contention: another writer keeps changing a target, and we do not fight. No I/O."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.targets.stored_token import format_time
from pinecone_token_operator.targets.target import FIELD_MANAGER

# Repairs that another writer causes: so many at once, and one more every five minutes.
_BURST: Final = 5
_FORGIVE_ONE_EVERY: Final = timedelta(minutes=5)
_FIRST_HOLD: Final = timedelta(seconds=2)
_LONGEST_HOLD: Final = timedelta(minutes=5)
_DOUBLINGS: Final = 16  # far beyond the longest, and small enough for timedelta


@dataclass(frozen=True, slots=True)
class Damping:
    """How often something had to be done again because of another writer.

    A few times in a row are done at once; after that the delay doubles, up to five minutes.

    Attributes:
        count: how many times, less one for each five minutes since.
        last_at: when the latest was.
    """

    count: int = 0
    last_at: datetime | None = None

    def after(self, now: datetime) -> "Damping":
        """Return the same after one more time."""
        if self.last_at is None:
            return Damping(1, now)
        forgiven = max(now - self.last_at, timedelta()) // _FORGIVE_ONE_EVERY
        return Damping(max(self.count - forgiven, 0) + 1, now)

    @property
    def held_until(self) -> datetime | None:
        """Return until when the next one has to wait; None if it need not."""
        if self.count < _BURST or self.last_at is None:
            return None
        doublings = min(self.count - _BURST, _DOUBLINGS)
        return self.last_at + min(_FIRST_HOLD * 2.0**doublings, _LONGEST_HOLD)


def contested(what: str, writer: str, held_until: datetime) -> Problem:
    """Return the problem to report while a repair is backed off.

    Args:
        what: what happened and how often.
        writer: the field manager that changed the target last; empty if unknown.
        held_until: until when the repair waits.
    """
    if writer == FIELD_MANAGER:
        who = "another instance of this operator"
    else:
        who = f"field manager {writer}" if writer else "unknown"
    return Problem(
        Reason.TARGET_CONTESTED,
        f"{what}; the last writer was {who}; stop it from changing the Secret; "
        f"next attempt at {format_time(held_until)}",
    )
