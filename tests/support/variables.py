"""Reads the settings of test programs from environment variables."""

from collections.abc import Mapping


class SettingsError(Exception):
    """A variable has an invalid value; the message is one line for the reader."""


def whole_number(environ: Mapping[str, str], name: str, default: str, least: int, most: int) -> int:
    """Return a variable as a whole number; an empty variable counts as unset.

    Raises:
        SettingsError: it is not a whole number in the range.
    """
    text = environ.get(name) or default
    if text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most:
        return int(text)
    raise SettingsError(f"{name}={text!r} is invalid: use a whole number from {least} to {most}.")
