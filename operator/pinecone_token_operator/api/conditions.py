"""Status conditions and the reasons they give, one sentence each. No I/O.

`Ready` answers whether the target Secret holds a valid token, `Refreshed` whether the latest
attempt to refresh it worked. Of a resource with many targets, `Ready` answers whether there is a
valid token, and `TargetsReady` whether all targets hold it. `Stalled` is present, and True, only
for what does not heal by waiting, as kstatus defines it:
https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

READY: Final = "Ready"
REFRESHED: Final = "Refreshed"
TARGETS_READY: Final = "TargetsReady"
STALLED: Final = "Stalled"


class Reason(StrEnum):
    """Why a condition has its status."""

    # Ready
    TOKEN_VALID = "TokenValid"  # noqa: S105 - a reason, not a token
    """The target Secret holds a token that has not expired."""
    TOKEN_EXPIRED = "TokenExpired"  # noqa: S105 - a reason, not a token
    """The token in the target Secret has expired and could not be refreshed; see Refreshed."""
    TOKEN_MISSING = "TokenMissing"  # noqa: S105 - a reason, not a token
    """The target Secret does not exist or holds no token; see Refreshed."""
    TARGET_NOT_OWNED = "TargetNotOwned"
    """The target Secret is not managed by this resource and is left untouched."""
    TARGET_CONFLICT = "TargetConflict"
    """Another resource owns the target Secret, or a key to merge exists in it already."""

    # Refreshed
    SUCCEEDED = "Succeeded"
    """The latest attempt issued a token, and the target Secret holds it."""
    TARGET_INCOMPLETE = "TargetIncomplete"
    """The token is refreshed, but other parts of the target Secret were refused or changed."""
    UNAVAILABLE = "Unavailable"
    """The token endpoint could not be reached, timed out, or returned 5xx."""
    THROTTLED = "Throttled"
    """The token endpoint rate-limited the client id (429)."""
    REJECTED = "Rejected"
    """The token endpoint rejected the credentials with an OAuth error (400, 401, 403)."""
    RESPONSE_INVALID = "ResponseInvalid"
    """The token endpoint's response was not a usable token."""
    SUSPENDED = "Suspended"
    """spec.suspend is true, so no token is requested."""
    TARGET_NOT_WRITABLE = "TargetNotWritable"
    """The API server refused to write the token to the target Secret."""
    TARGET_ALTERED = "TargetAltered"
    """Admission changed the token on its way into the target Secret."""
    TARGET_CONTESTED = "TargetContested"
    """Another writer keeps changing the target Secret or the credentials; repairs back off."""
    TEMPLATE_TOO_LARGE = "TemplateTooLarge"
    """The rendered template exceeds what a Secret can hold."""
    API_SERVER_ERROR = "APIServerError"
    """The API server failed a request that a refresh needs."""
    ACCESS_DENIED = "AccessDenied"
    """The operator's ServiceAccount lacks a permission that a refresh needs."""
    INTERNAL_ERROR = "InternalError"
    """The operator failed unexpectedly; its log has a traceback."""

    # TargetsReady
    ALL_COPIED = "AllCopied"
    """Every selected namespace has a copy of the current token."""
    COPIES_FAILED = "CopiesFailed"
    """Some selected namespaces have no copy of the current token; see status.targets.failed."""

    # Either
    NO_NAMESPACE_SELECTED = "NoNamespaceSelected"
    """No namespace that the operator serves matches the selector, so no token is requested."""
    RESOURCE_INVALID = "ResourceInvalid"
    """The resource has a field that the operator cannot use."""
    CREDENTIALS_NOT_FOUND = "CredentialsNotFound"
    """The credentials Secret does not exist."""
    CREDENTIALS_INVALID = "CredentialsInvalid"
    """The credentials Secret lacks a key, or a key's value cannot be used."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a condition is not as it should be.

    Attributes:
        reason: the condition's reason.
        message: what is wrong and what to do; in the operator's own words.
    """

    reason: Reason
    message: str
