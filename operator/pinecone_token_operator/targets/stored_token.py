"""A token with the times that are stored next to it, as keys and as annotations. No I/O."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Final

from pinecone_token_operator.targets import names

MAX_LIFETIME: Final = timedelta(hours=24)
"""The longest lifetime that is believed, whether issued or stored; Pinecone's is 30 minutes."""

TOKEN_KEYS: Final = ("access_token", "token_type", "expires_at")
MAX_SIZE: Final = 900_000
"""The most bytes that may be rendered; a Secret holds 1 MiB, its metadata included."""

_CHECKSUM_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """What a target says about its token when the token itself is not in memory.

    Times are in UTC and whole seconds.

    Attributes:
        refreshed_at: when the token was requested.
        expires_at: when it expires.
        refresh_at: when it is to be refreshed.
        credentials: the fingerprint of the credentials that it was issued for.
        request: the requested refresh that it served; empty if none, None if that is unknown.
    """

    refreshed_at: datetime
    expires_at: datetime
    refresh_at: datetime
    credentials: str
    request: str | None = ""


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token and its times; see `TokenTimes`.

    Attributes:
        source: what `fingerprint_source` says of the fingerprint; empty if that is unknown.
        times: everything but the token.
    """

    access_token: str = field(repr=False)
    token_type: str
    refreshed_at: datetime
    expires_at: datetime
    refresh_at: datetime
    credentials: str
    request: str | None = ""
    source: str = ""
    times: TokenTimes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the times once: what outlives the token shares them."""
        times = TokenTimes(
            self.refreshed_at, self.expires_at, self.refresh_at, self.credentials, self.request
        )
        object.__setattr__(self, "times", times)


def render(token: StoredToken, template: Mapping[str, str]) -> dict[str, str]:
    """Return the text of each key.

    Args:
        token: the token.
        template: keys to add, with placeholders as in `api.placeholders`.
    """
    values = {
        "access_token": token.access_token,
        "token_type": token.token_type,
        "expires_at": format_time(token.expires_at),
    }
    known = {**values, "expires_at_unix": str(int(token.expires_at.timestamp()))}
    # The models have checked that every placeholder is a known one.
    return values | {key: Template(text).substitute(known) for key, text in template.items()}


def max_rendered_size(template: Mapping[str, str], token_length: int) -> int:
    """Return how many bytes a template renders to at most, without rendering it.

    Args:
        template: as for `render`.
        token_length: characters of the access token.
    """
    # A placeholder may be as short as `$expires_at`, which renders to 20 characters.
    return sum(
        len(text.encode())
        + text.count("access_token") * token_length
        + text.count("expires_at") * len("2026-11-26T12:00:00Z")
        for text in template.values()
    )


def token_annotations(token: StoredToken, uid: str) -> dict[str, str]:
    """Return the annotations that go with a token, which `read_times` reads.

    Args:
        token: the token.
        uid: the resource's UID, which keys the checksum.
    """
    annotations = {
        names.EXPIRES_AT: format_time(token.expires_at),
        names.REFRESH_AT: format_time(token.refresh_at),
        names.REFRESHED_AT: format_time(token.refreshed_at),
        names.CREDENTIALS: token.credentials,
        names.CHECKSUM: checksum(token, uid),
    }
    optional = {names.REFRESH_REQUEST: token.request, names.CREDENTIALS_SOURCE: token.source}
    return annotations | {name: value for name, value in optional.items() if value}


def read_times(annotations: Mapping[str, str], no_request: str | None) -> TokenTimes | None:
    """Return what annotations say, or None if one is missing or unusable.

    Args:
        annotations: those of a Secret.
        no_request: what it means if no served request is among them; see `TokenTimes.request`.
    """
    try:
        return TokenTimes(
            refreshed_at=parse_time(annotations[names.REFRESHED_AT]),
            expires_at=parse_time(annotations[names.EXPIRES_AT]),
            refresh_at=parse_time(annotations[names.REFRESH_AT]),
            credentials=annotations[names.CREDENTIALS],
            request=annotations.get(names.REFRESH_REQUEST, no_request),
        )
    except (KeyError, ValueError):
        return None


def checksum(token: StoredToken, uid: str) -> str:
    """Return 32 hex digits over token, lifetime and origin, keyed by the resource's UID.

    It detects accidental change. It is not authentication: the UID is public, so anyone who may
    write the Secret can write a matching checksum.
    """
    parts = (
        token.access_token,
        format_time(token.refreshed_at),
        format_time(token.expires_at),
        token.credentials,
    )
    message = "\n".join(parts).encode()
    return hmac.new(uid.encode(), message, hashlib.sha256).hexdigest()[:_CHECKSUM_DIGITS]


def format_time(moment: datetime) -> str:
    """Return RFC 3339 in UTC and whole seconds, as Kubernetes writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Read what `format_time` writes.

    Raises:
        ValueError: the text is not such a time.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
