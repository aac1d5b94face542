"""What a decision may depend on, as plain data. No I/O."""

from dataclasses import dataclass
from datetime import datetime

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.targets.target import StoredToken, Target, TokenTimes


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is not as it should be: a condition's reason and message."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Attempts:
    """The failures since the last attempt that worked.

    Attributes:
        failures: how many there were in a row.
        retry_at: when to try again; None means at once.
        problem: what the latest one was.
        basis: what the latest one was made with. With anything else, waiting makes no sense.
    """

    failures: int = 0
    retry_at: datetime | None = None
    problem: Problem | None = None
    basis: object = None


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a decision may depend on.

    Attributes:
        resource: what a user asked for.
        conflict: the name of an older resource that has the same target.
        target: the target Secret, with or without its data.
        stored: the token in it, if the data was read and the seal proves it.
        times: the times of the token in it, if they are proven, now or when it was last read.
        credentials: the fingerprint of what a token is to be exchanged for, or why there is none.
        in_hand: a token that was fetched and could not be written yet.
        kept: the token that was written last, if tokens are kept for a while.
        attempts: what failed lately.
        unusable_since: since when the credentials cannot be used, if they can't.
        fraction: a random number in [0, 1), for a new plan and for the part of a second to act in.
    """

    resource: PineconeAccessToken
    conflict: str | None
    target: Target | None
    stored: StoredToken | None
    times: TokenTimes | None
    credentials: str | Problem
    in_hand: StoredToken | None
    attempts: Attempts
    unusable_since: datetime | None = None
    fraction: float = 0.0
    kept: StoredToken | None = None

    @property
    def basis(self) -> object:
        """Return what an attempt now would be made with."""
        return (
            self.resource.metadata.generation,
            self.resource.refresh_requested_at,
            self.credentials,
            self.target.uid if self.target else None,
        )
