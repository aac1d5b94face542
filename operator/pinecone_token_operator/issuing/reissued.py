"""Tokens that the token endpoint hands out more than once. No I/O."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.oauth import AccessToken

# A cache may hand out a token for a while after its expiry.
_REMEMBERED: Final = timedelta(minutes=10)
_DIGEST_BYTES: Final = 16


class IssuedTokens:
    """The tokens issued so far, each with the earliest expiry that the token endpoint reported.

    Some token endpoints, and gateways in front of others, hand out the same token until it expires,
    and some of those claim its full lifetime every time. Believing that would leave an expired
    token in a Secret for most of another lifetime.

    Tokens are remembered by digest, until ten minutes after their expiry.
    """

    def __init__(self) -> None:
        # Epoch seconds by digest: with thousands of resources, every byte counts.
        self._expiries: dict[bytes, int] = {}
        self._sweep_above = 64

    def __len__(self) -> int:
        """Return how many tokens are remembered."""
        return len(self._expiries)

    def limit(self, token: AccessToken) -> AccessToken:
        """Return the token with the earliest expiry that was ever claimed for it.

        Raises:
            ExchangeError: the token expired by an earlier claim.
        """
        now = token.requested_at
        if len(self._expiries) > self._sweep_above:
            self._sweep(int((now - _REMEMBERED).timestamp()))
        digest = hashlib.sha256(token.access_token.encode()).digest()[:_DIGEST_BYTES]
        claimed = int(token.expires_at.timestamp())
        earliest = min(claimed, self._expiries.get(digest, claimed))
        self._expiries[digest] = earliest
        expires_at = datetime.fromtimestamp(earliest, UTC)
        if expires_at <= now:
            raise ExchangeError(
                ExchangeFailure.INVALID,
                "the token endpoint returned a token that has already expired",
            )
        return replace(token, expires_at=expires_at)

    def _sweep(self, before: int) -> None:
        self._expiries = {
            digest: expiry for digest, expiry in self._expiries.items() if expiry >= before
        }
        # Sweeps visit all tokens, so keep them rare.
        self._sweep_above = max(64, 2 * len(self._expiries))
