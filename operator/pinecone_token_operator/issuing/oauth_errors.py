"""What a reply of the token endpoint other than 2xx means. No I/O."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing import parsing

MAX_RETRY_AFTER = timedelta(minutes=15)

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

INTERCEPTED = "a proxy, firewall or login page answered instead of the token endpoint"


def refusal(
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
        summary = INTERCEPTED
    elif status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        summary = "a proxy in front of the token endpoint requires a user name and password"
    elif status in _NOT_FOUND:
        summary = "there is no token endpoint at this URL; check the operator's --token-url"
    elif status >= HTTPStatus.BAD_REQUEST:
        summary = "the token endpoint refused the request"
    elif status >= HTTPStatus.MULTIPLE_CHOICES:
        summary = (
            "the reply is a redirect, which is not followed; check the operator's --token-url, "
            "and whether a login page intercepts requests"
        )
    else:
        summary = "the token endpoint replied without a token"
    known = code if code in _KNOWN_OAUTH_ERRORS else None
    return ExchangeError(failure, summary, status, known, retry_after)


def _oauth_error(text: bytes) -> str | None:
    """Return the `error` of an OAuth error reply; None if it is not one.

    Gateways reply in JSON too, some with an `error` of their own such as "Forbidden". So a code
    that RFC 6749 does not know, which extensions may add, counts only together with a description.
    """
    reply = (parsing.json_object(text) or {}) if len(text) <= parsing.MAX_BODY else {}
    code = reply.get("error")
    if not isinstance(code, str):
        return None
    described = isinstance(reply.get("error_description"), str)
    return code if code in _KNOWN_OAUTH_ERRORS or (described and code) else None


def _retry_after(fields: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return the requested delay, at most 15 minutes; None if it is absent or not positive."""
    now = parsing.parse_date(fields.get("date", "")) or now
    asked = fields.get("retry-after", "")
    reset = parsing.digits(fields.get("x-ratelimit-reset", ""))
    waits = (
        parsing.digits(asked),
        _seconds_until_date(asked, now),
        None if reset is None else reset - int(now.timestamp()),
    )
    seconds = next((wait for wait in waits if wait is not None and wait > 0), None)
    if seconds is None:
        return None
    return timedelta(seconds=min(seconds, int(MAX_RETRY_AFTER.total_seconds())))


def _seconds_until_date(text: str, now: datetime) -> int | None:
    date = parsing.parse_date(text)
    return None if date is None else math.ceil((date - now).total_seconds())
