"""Placeholders that templates may use. No I/O."""

import string
from typing import Final

PLACEHOLDERS: Final = frozenset({"access_token", "token_type", "expires_at", "expires_at_unix"})
"""What a template may use as `${...}`."""


def check_placeholders(text: str) -> str:
    """Return a template's text.

    Raises:
        ValueError: it has another placeholder, or a lone dollar sign.
    """
    template = string.Template(text)
    if not template.is_valid() or not PLACEHOLDERS.issuperset(template.get_identifiers()):
        names = ", ".join(f"${{{name}}}" for name in sorted(PLACEHOLDERS))
        raise ValueError(f"has an unknown placeholder: use {names}, or $$ for a dollar sign")
    return text
