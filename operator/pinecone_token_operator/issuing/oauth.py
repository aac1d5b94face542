"""The client credentials grant (RFC 6749 section 4.4) without I/O: the request, and the reply.

The reply is not trusted: errors are reported in our own words, never in the endpoint's.
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeGuard

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials

MAX_BODY = 64 * 1024
"""The longest reply that is accepted, in bytes; one of Pinecone's has about one thousand."""

MAX_RETRY_AFTER = timedelta(minutes=15)

# Far beyond any real token, and small enough for date arithmetic; a longer lifetime is cut to this.
_MAX_LIFETIME = timedelta(days=366)

# RFC 6749 section 5.2; and from 4.1.2.1 `access_denied`, which Auth0 replies to wrong credentials.
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
_NOT_FOUND = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE})

_COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS

_INTERCEPTED = "a proxy, firewall or login page answered instead of the token endpoint"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and its lifetime, in UTC and whole seconds, counted from before the request."""

    access_token: str = field(repr=False)
    token_type: str
    requested_at: datetime
    expires_at: datetime

    @property
    def lifetime(self) -> timedelta:
        """How long the token is valid, at least one second."""
        return self.expires_at - self.requested_at


def request_body(credentials: Credentials, audience: str) -> dict[str, str]:
    """Return the body of the request, which is sent as JSON."""
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
        body: the body as it was sent, whole or at least more than `MAX_BODY` bytes of it.
        requested_at: when the request was about to be sent; aware.

    Raises:
        ExchangeError: the reply has no usable token.
    """
    requested_at = requested_at.astimezone(UTC).replace(microsecond=0)
    fields = {name.lower(): value.strip() for name, value in headers.items()}
    text = _decode(body, fields.get("content-encoding", ""))
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(status, fields, text or b"", requested_at)
    if text is None:
        raise _invalid(
            "the reply is compressed in a way that was not asked for, perhaps by a proxy or "
            "gateway in front of the token endpoint",
            status,
        )
    if len(text) > MAX_BODY:
        raise _invalid("the token endpoint's reply is longer than 64 KiB", status)
    reply = _json_object(text)
    if reply is None:
        raise _invalid(f"the reply is not JSON; perhaps {_INTERCEPTED}", status)
    token = reply.get("access_token")
    if not _is_token(token):
        raise _invalid("the token endpoint's reply has no usable access_token", status)
    token_type = reply.get("token_type")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise _invalid("the token endpoint's reply has a token_type other than Bearer", status)
    seconds = _whole_seconds(reply.get("expires_in"))
    if seconds is None or seconds <= 0:
        raise _invalid("the token endpoint's reply has no positive, whole expires_in", status)
    seconds = min(seconds, int(_MAX_LIFETIME.total_seconds()))
    expiry = _jwt_expiry(token)
    if expiry is not None:
        # By the endpoint's own clock, by which the token was made.
        answered_at = _parse_date(fields.get("date", "")) or requested_at
        seconds = min(seconds, expiry - int(answered_at.timestamp()))
    # How long a cache has held the reply (RFC 9111 section 5.1), although it should not have.
    seconds -= min(_digits(fields.get("age", "")) or 0, seconds)
    if seconds <= 0:
        raise _invalid("the token in the token endpoint's reply has expired", status)
    return AccessToken(
        access_token=token,
        token_type="Bearer",  # noqa: S106 - the type's name, not a token
        requested_at=requested_at,
        expires_at=requested_at + timedelta(seconds=seconds),
    )


def _refusal(
    status: int, fields: Mapping[str, str], text: bytes, requested_at: datetime
) -> ExchangeError:
    """Return what a reply other than 2xx means."""
    code = _oauth_error(text)
    retry_after = None
    failure = ExchangeFailure.INVALID
    # Before anything else: Auth0 sends 500 with `access_denied` when a global limit is reached.
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        failure, summary = ExchangeFailure.UNAVAILABLE, "the token endpoint is unavailable"
    elif status == HTTPStatus.TOO_MANY_REQUESTS:
        failure, summary = ExchangeFailure.THROTTLED, "rate-limited by the token endpoint"
        retry_after = _retry_after(fields, requested_at)
    elif status in _REJECTIONS and code is not None:
        failure, summary = ExchangeFailure.REJECTED, "the token endpoint rejected the credentials"
    elif status in _REJECTIONS:
        summary = _INTERCEPTED
    elif status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        summary = "a proxy in front of the token endpoint requires a user name and password"
    elif status in _NOT_FOUND:
        summary = "there is no token endpoint at this URL; check the operator's --token-url"
    elif status >= HTTPStatus.BAD_REQUEST:
        summary = "the token endpoint refused the request"
    elif status >= HTTPStatus.MULTIPLE_CHOICES:
        summary = (
            "the reply is a redirect, which is not followed; check the operator's --token-url, "
            "and whether a login page is in between"
        )
    else:
        summary = "the token endpoint replied without a token"
    known = code if code in _KNOWN_OAUTH_ERRORS else None
    return ExchangeError(failure, summary, status, known, retry_after)


def _invalid(summary: str, status: int) -> ExchangeError:
    return ExchangeError(ExchangeFailure.INVALID, summary, status)


def _decode(body: bytes, encoding: str) -> bytes | None:
    """Return the body uncompressed, up to one byte more than `MAX_BODY`; None if that fails.

    Nothing compressed is asked for, but some gateways compress all the same.
    """
    if len(body) > MAX_BODY or encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() not in _COMPRESSIONS:
        return None
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, MAX_BODY + 1)
    except zlib.error:
        return None


def _oauth_error(text: bytes) -> str | None:
    """Return the `error` of an OAuth error reply; None if this is no such reply.

    Gateways reply in JSON too, some with an `error` of their own such as "Forbidden". So a code
    that RFC 6749 does not know, which extensions may add, counts only beside a description.
    """
    reply = (_json_object(text) or {}) if len(text) <= MAX_BODY else {}
    code = reply.get("error")
    if not isinstance(code, str):
        return None
    described = isinstance(reply.get("error_description"), str)
    return code if code in _KNOWN_OAUTH_ERRORS or (described and code) else None


def _retry_after(fields: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return the wait asked for, at most 15 minutes; None if it is absent or not positive."""
    now = _parse_date(fields.get("date", "")) or now
    asked = fields.get("retry-after", "")
    reset = _digits(fields.get("x-ratelimit-reset", ""))
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
    """Return whether this is a token that fits into a header and a file: visible ASCII only."""
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
    # int() alone takes `1_0`, `+1` and digits beyond ASCII, and refuses 4301 digits.
    try:
        return int(text) if text.isascii() and text.isdigit() else None
    except ValueError:
        return None


def _jwt_expiry(token: str) -> int | None:
    """Return a JWT's `exp` in epoch seconds, rounded down; None if this is no JWT with one."""
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
