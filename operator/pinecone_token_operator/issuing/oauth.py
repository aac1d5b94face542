"""The client credentials grant (RFC 6749 section 4.4) without I/O: the request, and the reply.

The reply is not trusted: errors are reported in our own words, never in the endpoint's.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing import parsing
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth_errors import INTERCEPTED, refusal
from pinecone_token_operator.targets.stored_token import MAX_LIFETIME


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
        body: the body as it was sent, whole or at least more than `parsing.MAX_BODY` bytes of it.
        requested_at: when the request was about to be sent; aware.

    Raises:
        ExchangeError: the reply has no usable token.
    """
    requested_at = requested_at.astimezone(UTC).replace(microsecond=0)
    fields = {name.lower(): value.strip() for name, value in headers.items()}
    text = parsing.decode(body, fields.get("content-encoding", ""))
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise refusal(status, fields, text or b"", requested_at)
    if text is None:
        raise _invalid(
            "the reply has an unsupported Content-Encoding; perhaps a proxy or gateway in front of "
            "the token endpoint compressed it",
            status,
        )
    if len(text) > parsing.MAX_BODY:
        raise _invalid("the token endpoint's reply is longer than 64 KiB", status)
    reply = parsing.json_object(text)
    if reply is None:
        raise _invalid(f"the reply is not JSON; perhaps {INTERCEPTED}", status)
    token = reply.get("access_token")
    if not parsing.is_token(token):
        raise _invalid("the token endpoint's reply has no usable access_token", status)
    token_type = reply.get("token_type")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise _invalid("the token endpoint's reply has a token_type other than Bearer", status)
    seconds = _whole_seconds(reply.get("expires_in"))
    if seconds is None or seconds <= 0:
        raise _invalid("the token endpoint's reply has no valid expires_in", status)
    seconds = min(seconds, int(MAX_LIFETIME.total_seconds()))
    expiry = _jwt_expiry(token)
    if expiry is not None:
        # By the endpoint's own clock, by which the token was made.
        answered_at = parsing.parse_date(fields.get("date", "")) or requested_at
        seconds = min(seconds, expiry - int(answered_at.timestamp()))
    # How long a cache has held the reply (RFC 9111 section 5.1), although it should not have.
    seconds -= min(parsing.digits(fields.get("age", "")) or 0, seconds)
    if seconds <= 0:
        raise _invalid("the token in the token endpoint's reply has expired", status)
    return AccessToken(
        access_token=token,
        token_type="Bearer",  # noqa: S106 - the type's name, not a token
        requested_at=requested_at,
        expires_at=requested_at + timedelta(seconds=seconds),
    )


def _invalid(summary: str, status: int) -> ExchangeError:
    return ExchangeError(ExchangeFailure.INVALID, summary, status)


def _whole_seconds(value: object) -> int | None:
    if isinstance(value, str):
        return parsing.digits(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():  # also NaN and Infinity
        return None
    return int(value)


def _jwt_expiry(token: str) -> int | None:
    """Return a JWT's `exp` in epoch seconds, rounded down; None if there is none."""
    segments = token.split(".")
    if len(segments) != 3:  # noqa: PLR2004 - RFC 7519: header, payload, signature
        return None
    payload = segments[1]
    try:
        text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    except ValueError:
        return None
    expiry = (parsing.json_object(text) or {}).get("exp")
    if isinstance(expiry, bool) or not isinstance(expiry, int | float):
        return None
    if isinstance(expiry, float) and not math.isfinite(expiry):
        return None
    return math.floor(expiry)
