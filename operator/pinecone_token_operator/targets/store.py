"""The protocol of a place where tokens are stored."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.targets.secret import TargetSpec
from pinecone_token_operator.targets.stored_token import StoredToken
from pinecone_token_operator.targets.target import Target


@dataclass(frozen=True, slots=True)
class Delivery:
    """The result of a write.

    Attributes:
        target: what is stored now, as the reply says.
        altered: why the token that is stored is not the one that was written; empty if it is.
        left_out: why other parts were left out or changed; empty if they were not.
        error: why it is unknown whether all parts were written: the target is not as it was read,
            or there was no reply. The token was written before.
    """

    target: Target
    altered: str = ""
    left_out: str = ""
    error: ApiError | None = None


class TargetStore(Protocol):
    """Reads, writes and verifies tokens, and notes the versions that it has seen."""

    async def read(self, key: SecretKey, by: Hashable) -> Target | None:
        """Return the target, or None if it does not exist.

        Args:
            key: the target.
            by: who reads it, and so need not be notified of this version.

        Raises:
            ApiError: the read failed.
        """
        ...

    async def deliver(
        self, spec: TargetSpec, target: Target | None, token: StoredToken
    ) -> Delivery:
        """Store a token, compare what was stored with what was written, and set the ownership.

        Raises:
            WriteFailed: the write was refused or failed; the message says why and what to do.
            ApiError: the target is not as it was read (404, 409), or there was no reply.
        """
        ...

    async def set_ownership(self, spec: TargetSpec, target: Target) -> Delivery:
        """Set who deletes the token with its resource; see `secret.ownership_patch`.

        What is refused is left out: nothing is raised.
        """
        ...
