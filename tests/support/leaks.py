"""Finds secrets where none may appear, without ever showing them."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping

_LEAST = 6  # characters of base64; fewer would match anywhere
_URL_SAFE = str.maketrans("+/", "-_")


def find_leaks(texts: Mapping[str, str], secrets: Iterable[str]) -> list[str]:
    """Return the names of the texts that contain any of the secrets, plain or in base64."""
    traces = {trace for secret in secrets if secret for trace in _traces(secret)}
    return [name for name, text in texts.items() if any(trace in text for trace in traces)]


def _traces(secret: str) -> Iterator[str]:
    """Yield what a text may contain if it contains the secret."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret.encode()).decode()
        # A character of base64 encodes six bits. Those that also encode what surrounds the secret
        # are unknown; the others are the same wherever the secret is at this alignment.
        first = -(-before * 8 // 6)
        last = (before + len(secret.encode())) * 8 // 6
        if last - first >= _LEAST:
            yield encoded[first:last]
            yield encoded[first:last].translate(_URL_SAFE)
