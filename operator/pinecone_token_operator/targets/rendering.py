"""The keys of a target: the token's own, and those of the template. No I/O."""

from collections.abc import Mapping
from string import Template
from typing import Final

from pinecone_token_operator.targets.stored_token import StoredToken, format_time

TOKEN_KEYS: Final = ("access_token", "token_type", "expires_at")
MAX_SIZE: Final = 900_000
"""The most bytes that may be rendered; a Secret holds 1 MiB, its metadata included."""


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
