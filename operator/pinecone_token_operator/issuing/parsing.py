"""Parsers of text that is not trusted: they return None for what they cannot parse."""

import json
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard

MAX_BODY = 64 * 1024
"""The longest reply that is accepted, in bytes; one of Pinecone's has about one thousand."""

_COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def decode(body: bytes, encoding: str) -> bytes | None:
    """Return the body uncompressed, up to one byte more than `MAX_BODY`; None if that fails.

    Compression is not requested, but some gateways compress anyway.
    """
    if len(body) > MAX_BODY or encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() not in _COMPRESSIONS:
        return None
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, MAX_BODY + 1)
    except zlib.error:
        return None


def json_object(text: bytes) -> dict[str, Any] | None:
    """Return a JSON object."""
    # RecursionError: a body of nothing but brackets is short enough to be read.
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def digits(text: str) -> int | None:
    """Return a number written in ASCII digits alone."""
    # int() alone takes `1_0`, `+1` and digits beyond ASCII, and refuses 4301 digits.
    try:
        return int(text) if text.isascii() and text.isdigit() else None
    except ValueError:
        return None


def parse_date(text: str) -> datetime | None:
    """Return an HTTP date, in UTC."""
    try:
        date = parsedate_to_datetime(text.strip())
        # An HTTP date is always in GMT; `-0000` parses as a naive one.
        return (date.replace(tzinfo=UTC) if date.tzinfo is None else date).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def is_token(value: object) -> TypeGuard[str]:
    """Return whether this is a token that fits into a header and a file: visible ASCII only."""
    return (
        isinstance(value, str)
        and bool(value)
        and all("\x21" <= character <= "\x7e" for character in value)
    )
