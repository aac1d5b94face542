"""The data of a Secret: base64 in JSON, text in tests."""

import base64
from collections.abc import Mapping


def encode(value: str | bytes) -> str:
    """Return a value as it stands in a Secret's `data`."""
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def decode(data: Mapping[str, str]) -> dict[str, str]:
    """Return a Secret's `data` as text."""
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def text(data: Mapping[str, str] | None, key: str) -> str:
    """Return one key of a Secret's `data` as text; empty if it is missing or is not text."""
    try:
        return base64.b64decode((data or {}).get(key, "")).decode()
    except ValueError:
        return ""
