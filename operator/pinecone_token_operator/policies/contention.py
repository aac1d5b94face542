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
# A fight is over once the target was left alone for as long as the hold after it, and this long.
_LEAST_QUIET: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Cause:
    """What had to be done again, and because of whom.

    Attributes:
        what: what happened, for example `the credentials changed`.
        writer: the field manager of the other writer; empty if unknown.
        is_fight: whether another writer undid what was done; else a user asked for it.
    """

    what: str
    writer: str = ""
    is_fight: bool = True


@dataclass(frozen=True, slots=True)
class Damping:
    """How often something had to be done again because of another writer.

    A few times in a row are done at once; after that the delay doubles, up to five minutes.

    Attributes:
        count: how many times, less one for each five minutes since.
        last_at: when the latest was.
        cause: why the latest was; None if that is not recorded.
    """

    count: int = 0
    last_at: datetime | None = None
    cause: Cause | None = None

    def after(self, now: datetime, cause: Cause | None = None) -> "Damping":
        """Return the same after one more time."""
        before = self.cause
        if cause and before and not cause.writer and cause.what == before.what:
            # A writer that only removes something leaves no name; it may have left one before.
            cause = before
        if self.last_at is None:
            return Damping(1, now, cause)
        forgiven = max(now - self.last_at, timedelta()) // _FORGIVE_ONE_EVERY
        return Damping(max(self.count - forgiven, 0) + 1, now, cause)

    def fought_until(self, now: datetime) -> datetime | None:
        """Return until when a fight is reported if it is over by now; None if there is none."""
        held_until = self.held_until
        if held_until is None or self.last_at is None or self.cause is None:
            return None
        until = held_until + max(held_until - self.last_at, _LEAST_QUIET)
        return until if self.cause.is_fight and until > now else None

    def fight(self) -> Problem | None:
        """Return the problem to report while a fight is not over, though nothing waits."""
        if self.cause is None:
            return None
        return contested(f"{self.cause.what} {self.count} times", self.cause.writer)

    @property
    def held_until(self) -> datetime | None:
        """Return until when the next one has to wait; None if it need not."""
        if self.count < _BURST or self.last_at is None:
            return None
        doublings = min(self.count - _BURST, _DOUBLINGS)
        return self.last_at + min(_FIRST_HOLD * 2.0**doublings, _LONGEST_HOLD)


UNDAMPED: Final = Damping()
"""What is known while no other writer has caused anything."""


def contested(what: str, writer: str, held_until: datetime | None = None) -> Problem:
    """Return the problem to report while another writer keeps changing something.

    Args:
        what: what happened and how often.
        writer: the field manager that changed the target last; empty if unknown.
        held_until: until when the next repair waits; None if none does.
    """
    if writer == FIELD_MANAGER:
        who = "another instance of this operator"
    else:
        who = f"field manager {writer}" if writer else "unknown"
    message = f"{what}; the last writer was {who}; stop it from changing the Secret"
    if held_until is not None:
        message += f"; next attempt at {format_time(held_until)}"
    return Problem(Reason.TARGET_CONTESTED, message)
