"""The reasons that conditions give, one sentence each.

`Ready` answers whether the target Secret holds a valid token, `Refreshed` whether the latest
attempt to fetch one worked.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition has its status."""

    # Ready
    TOKEN_VALID = "TokenValid"  # noqa: S105 - a word, not a token
    """The target Secret holds a token that has not expired."""
    TOKEN_EXPIRED = "TokenExpired"  # noqa: S105 - a word, not a token
    """The token in the target Secret has expired and no new one could be had; see Refreshed."""
    TOKEN_MISSING = "TokenMissing"  # noqa: S105 - a word, not a token
    """The target Secret holds no token yet, or does not exist; see Refreshed."""
    TARGET_NOT_OWNED = "TargetNotOwned"
    """The target Secret exists, is not this resource's, and is left alone."""
    TARGET_CONFLICT = "TargetConflict"
    """An older resource names the same target Secret and keeps it."""

    # Refreshed
    SUCCEEDED = "Succeeded"
    """The latest attempt gave a token, and the target Secret holds it."""
    UNAVAILABLE = "Unavailable"
    """The token endpoint could not be reached, did not answer in time, or answered 5xx."""
    THROTTLED = "Throttled"
    """The token endpoint asked for fewer requests (429)."""
    REJECTED = "Rejected"
    """The token endpoint rejected the credentials (400, 401, 403)."""
    RESPONSE_INVALID = "ResponseInvalid"
    """The token endpoint's reply was no usable token."""
    SUSPENDED = "Suspended"
    """spec.suspend is true, so nothing is fetched or written."""
    TARGET_NOT_WRITABLE = "TargetNotWritable"
    """A token was fetched, but the API server refused to write it to the target Secret."""

    # Either
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound"
    """The credentials Secret does not exist."""
    CREDENTIALS_INVALID = "CredentialsInvalid"
    """The credentials Secret lacks a key, or what a key holds cannot be used."""
