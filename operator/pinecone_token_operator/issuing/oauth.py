"""The client-credentials exchange (RFC 6749 section 4.4) without I/O: a request, a reply's meaning.

The reply is not trusted: every error is told in our own words, never in the endpoint's.
"""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeGuard

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials

MAX_BODY = 64 * 1024
"""The longest reply that is read, in bytes; a token of Pinecone's has about one thousand."""

MAX_RETRY_AFTER = timedelta(minutes=15)

# Far beyond any real token, and small enough for date arithmetic; a longer life is cut to this.
_MAX_LIFETIME = timedelta(days=366)

# RFC 6749 section 5.2, and `access_denied`, with which Auth0 answers wrong credentials.
_KNOWN_OAUTH_ERRORS = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)

_REJECTIONS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and its life, in UTC and whole seconds; the life counts from before the request."""

    access_token: str = field(repr=False)
    token_type: str
    requested_at: datetime
    expires_at: datetime

    @property
    def lifetime(self) -> timedelta:
        """How long the token lives, always at least one second."""
        return self.expires_at - self.requested_at


def request_body(credentials: Credentials, audience: str) -> dict[str, str]:
    """Return what is sent, as JSON, to the token endpoint."""
    return {
        "grant_type": "client_credentials",
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "audience": audience,
    }


def parse_response(
    status: int, headers: Mapping[str, str], body: bytes, requested_at: datetime
) -> AccessToken:
    """Return the token that a reply carries.

    Args:
        status: the reply's HTTP status.
        headers: the reply's headers, names in any case.
        body: the whole body, or what was read of it.
        requested_at: when the request was about to be sent; aware.

    Raises:
        ExchangeError: the reply carries no token that can be used.
    """
    requested_at = requested_at.astimezone(UTC).replace(microsecond=0)
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(status, headers, body, requested_at)
    if len(body) > MAX_BODY:
        raise _invalid("the token endpoint's reply is too long", status)
    reply = _json_object(body)
    if reply is None:
        raise _invalid("the token endpoint's reply is no JSON object", status)
    token = reply.get("access_token")
    if not _is_token(token):
        raise _invalid("the token endpoint's reply has no usable access_token", status)
    token_type = reply.get("token_type")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise _invalid("the token endpoint's reply has another token_type than Bearer", status)
    seconds = _whole_seconds(reply.get("expires_in"))
    if seconds is None or seconds <= 0:
        raise _invalid("the token endpoint's reply has no positive whole expires_in", status)
    seconds = min(seconds, int(_MAX_LIFETIME.total_seconds()))
    expiry = _jwt_expiry(token)
    if expiry is not None:
        # By the endpoint's own clock, which is the one that the token was made by.
        answered_at = _date(headers) or requested_at
        seconds = min(seconds, expiry - int(answered_at.timestamp()))
    if seconds <= 0:
        raise _invalid("the token endpoint's reply carries a token that has expired", status)
    return AccessToken(
        access_token=token,
        token_type="Bearer",  # noqa: S106 - the type's name, not a token
        requested_at=requested_at,
        expires_at=requested_at + timedelta(seconds=seconds),
    )


def _refusal(
    status: int, headers: Mapping[str, str], body: bytes, requested_at: datetime
) -> ExchangeError:
    """Tell what a reply other than 2xx means; the status decides, the body only adds a code."""
    retry_after = None
    # Before anything else: Auth0 sends 500 with `access_denied` when a global limit is reached.
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        failure, summary = ExchangeFailure.UNAVAILABLE, "the token endpoint is not available"
    elif status == HTTPStatus.TOO_MANY_REQUESTS:
        failure, summary = ExchangeFailure.THROTTLED, "the token endpoint asks for fewer requests"
        retry_after = _retry_after(headers, requested_at)
    elif status in _REJECTIONS:
        failure, summary = ExchangeFailure.REJECTED, "the token endpoint rejected the credentials"
    elif status >= HTTPStatus.BAD_REQUEST:
        failure, summary = ExchangeFailure.INVALID, "the token endpoint refused the request"
    else:
        failure, summary = ExchangeFailure.INVALID, "the token endpoint answered with no token"
    return ExchangeError(failure, summary, status, _oauth_error(body), retry_after)


def _invalid(summary: str, status: int) -> ExchangeError:
    return ExchangeError(ExchangeFailure.INVALID, summary, status)


def _oauth_error(body: bytes) -> str | None:
    code = (_json_object(body) or {}).get("error") if len(body) <= MAX_BODY else None
    return code if isinstance(code, str) and code in _KNOWN_OAUTH_ERRORS else None


def _retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return the wait asked for, cut to 15 minutes; a wait of nothing or less is no wish."""
    now = _date(headers) or now
    found = {name.lower(): value.strip() for name, value in headers.items()}
    asked = found.get("retry-after", "")
    reset = _digits(found.get("x-ratelimit-reset", ""))
    waits = (
        _digits(asked),
        _seconds_until_date(asked, now),
        None if reset is None else reset - int(now.timestamp()),
    )
    seconds = next((wait for wait in waits if wait is not None and wait > 0), None)
    if seconds is None:
        return None
    return timedelta(seconds=min(seconds, int(MAX_RETRY_AFTER.total_seconds())))


def _seconds_until_date(text: str, now: datetime) -> int | None:
    date = _parse_date(text)
    return None if date is None else math.ceil((date - now).total_seconds())


def _date(headers: Mapping[str, str]) -> datetime | None:
    """Return when a reply was sent, by its sender's clock."""
    return next(
        (_parse_date(value) for name, value in headers.items() if name.lower() == "date"), None
    )


def _parse_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text.strip())
        # An HTTP date is always in GMT; `-0000` parses as a naive one.
        return (date.replace(tzinfo=UTC) if date.tzinfo is None else date).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _json_object(text: bytes) -> dict[str, Any] | None:
    # RecursionError: a body of nothing but brackets is short enough to be read.
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_token(value: object) -> TypeGuard[str]:
    """Whether this is a token that fits into a header and a file: visible ASCII only."""
    return (
        isinstance(value, str)
        and bool(value)
        and all("\x21" <= character <= "\x7e" for character in value)
    )


def _whole_seconds(value: object) -> int | None:
    if isinstance(value, str):
        return _digits(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():  # also NaN and Infinity
        return None
    return int(value)


def _digits(text: str) -> int | None:
    # int() alone takes `1_0`, `+1` and other alphabets' digits, and refuses 4301 digits.
    try:
        return int(text) if text.isascii() and text.isdigit() else None
    except ValueError:
        return None


def _jwt_expiry(token: str) -> int | None:
    """Return the epoch of a JWT's `exp`, rounded down; None if this is no JWT that has one."""
    segments = token.split(".")
    if len(segments) != 3:  # noqa: PLR2004 - RFC 7519: header, payload, signature
        return None
    payload = segments[1]
    try:
        text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    except ValueError:
        return None
    expiry = (_json_object(text) or {}).get("exp")
    if isinstance(expiry, bool) or not isinstance(expiry, int | float):
        return None
    if isinstance(expiry, float) and not math.isfinite(expiry):
        return None
    return math.floor(expiry)
