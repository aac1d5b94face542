"""What decisions depend on, as plain data. No I/O."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from pinecone_token_operator.api.conditions import Problem
from pinecone_token_operator.errors import Hold
from pinecone_token_operator.policies.contention import UNDAMPED, Damping
from pinecone_token_operator.policies.ownership import find_obstacle
from pinecone_token_operator.targets.secret import TargetSpec
from pinecone_token_operator.targets.stored_token import StoredToken, TokenTimes
from pinecone_token_operator.targets.target import Target

UNKNOWN_BASIS: Final = object()
"""The basis of an attempt by an earlier process."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """The failures since the last attempt that worked.

    Attributes:
        failures: how many there were in a row.
        retry_at: when to retry; None means at once.
        problem: what the latest one was.
        basis: what the latest one was made with. With anything else, waiting makes no sense.
        hold: what ends the wait earlier, where others wait for the same.
    """

    failures: int = 0
    retry_at: datetime | None = None
    problem: Problem | None = None
    basis: object = None
    hold: Hold | None = None

    def failed(self, problem: Problem, retry_at: datetime, basis: object) -> "Attempts":
        """Return the same after one more failure."""
        return Attempts(self.failures + 1, retry_at, problem, basis)

    def resumed(self) -> "Attempts":
        """Return the same without a wait that is over."""
        if self.hold is None or not self.hold.is_over:
            return self
        return replace(self, retry_at=None, hold=None)

    def blocked_until(self, basis: object) -> datetime | None:
        """Return until when an attempt with this basis has to wait; None if it need not."""
        return self.retry_at if self.basis in (basis, UNKNOWN_BASIS) else None


NO_FAILURES: Final = Attempts()
"""What is known after an attempt that worked."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a resource of any kind requests.

    Attributes:
        generation: of its spec.
        refresh_before: the margin before expiry; None means the default.
        suspend: whether no token may be requested.
        request: the value by which a refresh is requested; empty if none is.
    """

    generation: int
    refresh_before: timedelta | None = None
    suspend: bool = False
    request: str = ""


@dataclass(frozen=True, slots=True)
class TokenInput:
    """What the decision about the token of one resource depends on.

    Attributes:
        wanted: what the resource requests.
        credentials: the fingerprint of what a token is to be issued for, or why there is none.
        times: of the newest intact token in a target; None if no target has one.
        pending: a token that was issued and could not be written yet.
        cached: the token that was written last, where it is kept in memory.
        delivered: the times of the token that was written last; None if that is unknown.
        reverted: whether the newest token in a target is older than that.
        handled_request: the latest requested refresh that was served.
        attempts: which token requests failed lately.
        damping: unscheduled token requests that another writer caused.
        deliverable: whether some target may be written.
        had_token: whether a target held a token before.
        recreated: whether that was a target of a deleted resource of the same name.
        writer: the field manager that changed the target last; empty if unknown.
        credentials_writer: the field manager that changed the credentials last; empty if unknown.
        unusable_since: since when the credentials cannot be used, if they can't.
        blocked_until: until when a token request has to wait after one that failed; None if it need
            not.
    """

    wanted: Wanted
    credentials: str | Problem
    times: TokenTimes | None
    pending: StoredToken | None = None
    cached: StoredToken | None = None
    delivered: TokenTimes | None = None
    reverted: bool = False
    handled_request: str = ""
    attempts: Attempts = NO_FAILURES
    damping: Damping = UNDAMPED
    deliverable: bool = True
    had_token: bool = False
    recreated: bool = False
    writer: str = ""
    credentials_writer: str = ""
    unusable_since: datetime | None = None
    blocked_until: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        """Derive what follows, once for all that ask."""
        object.__setattr__(self, "blocked_until", self.attempts.blocked_until(self.basis))

    @property
    def basis(self) -> object:
        """Return what a token request now would be made with."""
        return self.wanted.generation, self.wanted.request, self.credentials, self.times is None


@dataclass(frozen=True, slots=True)
class TargetInput:
    """What the decision about one target depends on.

    Attributes:
        spec: what the resource wants stored there.
        target: the target, with or without its data; None if it does not exist.
        stored: the intact token in it, if its data was read.
        times: of the intact token in it, as it was read now or earlier.
        rival: the kind and name of another resource that owns the target; None if none does.
        unreadable: why the target could not be read, if it could not.
        had_token: whether it held a token before.
        reverted: whether it holds an older token than the one that was written last.
        attempts: which deliveries of a token failed lately.
        repairs: which repairs of anything else failed lately.
        damping: repairs that another writer caused.
        obstacle: why the target must not be written; None if it may be.
        provided: the times of the token, valid or expired, that the target provides; None if it
            holds none or is not ours.
        delivery_blocked_until: until when delivering a token has to wait after a failure, if so.
        repair_blocked_until: until when any other write has to wait after a failure, if so.
    """

    spec: TargetSpec
    target: Target | None
    stored: StoredToken | None
    times: TokenTimes | None
    rival: str | None = None
    unreadable: Problem | None = None
    had_token: bool = False
    reverted: bool = False
    attempts: Attempts = NO_FAILURES
    repairs: Attempts = NO_FAILURES
    damping: Damping = UNDAMPED

    obstacle: Problem | None = field(init=False)
    provided: TokenTimes | None = field(init=False)
    delivery_blocked_until: datetime | None = field(init=False)
    repair_blocked_until: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        """Derive what follows, once for all that ask."""
        object.__setattr__(self, "obstacle", find_obstacle(self))
        object.__setattr__(self, "provided", None if self.obstacle else self.times)
        delivery = self.attempts.blocked_until(self.basis)
        repair = self.repairs.blocked_until(self.basis)
        object.__setattr__(self, "delivery_blocked_until", delivery)
        waits = [wait for wait in (delivery, repair) if wait is not None]
        object.__setattr__(self, "repair_blocked_until", max(waits, default=None))

    @property
    def basis(self) -> object:
        """Return what a write now would be made with."""
        return self.spec, self.target.uid if self.target else None
