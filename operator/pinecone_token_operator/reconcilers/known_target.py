"""What is known of one target between two reconciles; losing it costs reads only."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pinecone_token_operator.api.conditions import Problem
from pinecone_token_operator.policies.contention import UNDAMPED, Damping
from pinecone_token_operator.policies.input import (
    NO_FAILURES,
    Attempts,
)
from pinecone_token_operator.targets.secret import TargetSpec
from pinecone_token_operator.targets.store import Delivery
from pinecone_token_operator.targets.stored_token import StoredToken, TokenTimes
from pinecone_token_operator.targets.target import Target


@dataclass(frozen=True, slots=True)
class KnownTarget:
    """What is known of one target.

    Attributes:
        target: as it was read or written last; its data during a reconcile only.
        stored: the intact token in it; during a reconcile only.
        times: the times of the intact token in it.
        had_token: whether it held one before.
        unreadable: why it could not be read, if it could not.
        attempts: which deliveries of a token failed lately.
        repairs: which repairs of anything else failed lately.
        damping: repairs that another writer caused.
        delivered: the times of the token that was written to it last.
        spec: what was wanted when it was written last; None if that is unknown.
        missing: whether it can be created without a read, because no version of it is known.
        read_at: when to read it again after a failed request; until then it is left alone. Only of
            one target among several.
    """

    target: Target | None = None
    stored: StoredToken | None = None
    times: TokenTimes | None = None
    had_token: bool = False
    unreadable: Problem | None = None
    attempts: Attempts = NO_FAILURES
    repairs: Attempts = NO_FAILURES
    damping: Damping = UNDAMPED
    delivered: TokenTimes | None = None
    spec: TargetSpec | None = None
    missing: bool = False
    read_at: datetime | None = None

    def written(
        self, spec: TargetSpec, delivery: Delivery, token: StoredToken | None
    ) -> "KnownTarget":
        """Return the same after a write.

        Args:
            spec: what was wanted.
            delivery: the result.
            token: the token that was written; None if only its ownership was.
        """
        if token is None:
            repairs = NO_FAILURES if delivery.error is None else self.repairs
            return replace(self, target=delivery.target, repairs=repairs)
        times = token.times
        return replace(
            self,
            target=delivery.target,
            stored=token,
            times=times,
            had_token=True,
            attempts=NO_FAILURES,
            repairs=NO_FAILURES,
            delivered=times,
            spec=spec,
            missing=False,
        )

    def settled(self, now: datetime, *, keep: bool) -> "KnownTarget":
        """Return what may be kept in memory, without any secret.

        Args:
            now: the time.
            keep: whether the metadata is kept; else the target is read again next time.
        """
        held_until = self.damping.held_until if self.damping.count else None
        # A repair that is still to be made needs the data, which is read again then and not kept.
        pending = self.attempts.problem or self.repairs.problem or (held_until and held_until > now)
        if not keep or pending:
            return self.uncertain()
        if self.stored is None and (self.target is None or self.target.data is None):
            return self  # it was not touched: most of many targets are not
        return replace(self, target=self.target and self.target.without_data(), stored=None)

    def uncertain(self) -> "KnownTarget":
        """Return the same where the target has to be read again before its next use."""
        return replace(self, target=self.target and self.target.stale(), stored=None, missing=False)


UNREAD: Final = KnownTarget()
"""What is known of a target that was never read."""
