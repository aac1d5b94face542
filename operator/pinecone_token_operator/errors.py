"""What can go wrong, as one tree.

Library errors are mapped to these once, at the edge, with the cause chained. None of them carries a
token, a client secret, a request or a response body: upstream text is not to be trusted in a log.

    OperatorError
    ├── SettingsInvalid          a flag or environment variable that cannot be used
    ├── ResourceInvalid          a resource that does not parse
    ├── CredentialsInvalid       a credentials Secret with a missing, blank or undecodable key
    ├── ExchangeError            the token endpoint issued no token
    ├── ApiError                 the API server refused or did not answer
    ├── WriteFailed              the API server refused a write to a target, or failed it
    ├── LeaseLost                another replica may be the leader
    └── CheckFailed              an installed operator does not do what it should
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Final

# What the API server answers to a write that it will not accept, however often it is retried: the
# request is invalid or too large, or a policy, a quota, a webhook or RBAC forbids it.
_REFUSALS: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


class ExchangeFailure(StrEnum):
    """Why an exchange failed; the backoff depends on it."""

    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    REJECTED = "rejected"
    INVALID = "invalid"


class OperatorError(Exception):
    """Any error that this operator knows by name."""


class SettingsInvalid(OperatorError):  # noqa: N818 - reads as the fact it states
    """A setting cannot be used; the message names it and says what is accepted."""


class ResourceInvalid(OperatorError):  # noqa: N818 - reads as the fact it states
    """A resource does not parse; the message names the field."""


class CredentialsInvalid(OperatorError):  # noqa: N818 - the condition's own reason
    """The credentials Secret cannot be used; the message names the key and what to do."""


@dataclass(slots=True)
class Hold:
    """A wait that several callers of the token endpoint share.

    Attributes:
        is_over: whether they need not wait any more.
    """

    is_over: bool = False


@dataclass(eq=False)
class ExchangeError(OperatorError):
    """The token endpoint issued no token.

    Attributes:
        failure: the class of failure.
        summary: one sentence of our own words; no upstream text.
        http_status: the reply's status, if there was a reply.
        oauth_error: the `error` code of RFC 6749 section 5.2, or `access_denied` (4.1.2.1), with
            which Auth0 answers wrong credentials; only when it is a known one.
        retry_after: how long the endpoint asked us to wait, at most 15 minutes.
        hold: what ends the wait earlier, if the client id is rate-limited.
    """

    failure: ExchangeFailure
    summary: str
    http_status: int | None = None
    oauth_error: str | None = None
    retry_after: timedelta | None = None
    hold: Hold | None = None

    def __str__(self) -> str:
        """Return a sentence that is safe to log and to show in a status."""
        facts = [f"HTTP {self.http_status}"] if self.http_status else []
        facts += [self.oauth_error] if self.oauth_error else []
        return f"{self.summary} ({', '.join(facts)})" if facts else self.summary


class LeaseLost(OperatorError):  # noqa: N818 - reads as the fact it states
    """This process was the leader, and another may be now; the message says why."""


@dataclass(eq=False)
class ApiError(OperatorError):
    """The API server refused a request or did not answer.

    Attributes:
        http_status: the reply's status; 0 if there was no reply.
        reason: the Status object's `reason`, for example `NotFound` or `AlreadyExists`.
        message: the Status object's `message`, or our own words if there was no reply.
    """

    http_status: int
    reason: str
    message: str

    def __str__(self) -> str:
        """Return status, reason and message in one line."""
        return f"{self.http_status} {self.reason}: {self.message}"

    @property
    def brief(self) -> str:
        """Status and reason, which several errors may have in common."""
        return f"{self.http_status} {self.reason}" if self.http_status else self.reason

    @property
    def not_found(self) -> bool:
        """Whether the object, its namespace or its kind does not exist (404)."""
        return self.http_status == HTTPStatus.NOT_FOUND

    @property
    def conflict(self) -> bool:
        """Whether the object exists already, or was changed since it was read (409)."""
        return self.http_status == HTTPStatus.CONFLICT

    @property
    def gone(self) -> bool:
        """Whether the resourceVersion is too old to continue from, which takes a relist (410)."""
        return self.http_status == HTTPStatus.GONE

    @property
    def invalid(self) -> bool:
        """Whether the object or the patch is invalid (422)."""
        return self.http_status == HTTPStatus.UNPROCESSABLE_ENTITY

    @property
    def forbidden(self) -> bool:
        """Whether RBAC or admission denies the request (403)."""
        return self.http_status == HTTPStatus.FORBIDDEN

    @property
    def is_timeout(self) -> bool:
        """Whether the reply took too long, by our own limit or the API server's (504)."""
        return self.reason == "Timeout" or self.http_status == HTTPStatus.GATEWAY_TIMEOUT

    @property
    def too_large(self) -> bool:
        """Whether the object exceeds what the API server stores (413)."""
        return self.http_status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    @property
    def is_refusal(self) -> bool:
        """Whether a write was refused for what it is, so that the same request fails again."""
        return self.http_status in _REFUSALS

    @property
    def is_transient(self) -> bool:
        """Whether the API server did not answer, is overloaded or failed (no reply, 429, 5xx)."""
        return (
            self.http_status in (0, HTTPStatus.TOO_MANY_REQUESTS)
            or self.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )


class WriteFailed(OperatorError):  # noqa: N818 - reads as the fact it states
    """A target could not be written.

    Attributes:
        final: whether the same write would fail again: it is refused for what it is.
    """

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final


class CheckFailed(OperatorError):  # noqa: N818 - reads as the fact it states
    """An installed operator does not do what it should; the message says what was seen."""
