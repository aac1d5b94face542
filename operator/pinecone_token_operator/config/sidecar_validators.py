"""Validation of the sidecar's own settings; see `config.validators`."""

import re
from pathlib import Path
from typing import Final

from pinecone_token_operator.config import hosts, validators
from pinecone_token_operator.config.validators import MAX_NAME, InvalidValue

_MODE: Final = re.compile(r"0?[0-7]{3}")
_OWNER_READS: Final = 0o400
_NOT_FOR_FILES: Final = 0o113  # execution, and writing by others


def directory(text: str) -> Path:
    """Accept the path of a directory that exists."""
    path = _path(text)
    try:
        if path.is_dir():
            return path
    except OSError as error:
        raise InvalidValue(f"{text!r} cannot be accessed: {error.strerror}") from error
    raise InvalidValue(f"{text!r} is not a directory; mount or create it")


def output_directory(text: str) -> Path:
    """Accept the path of a directory that exists, or whose parent does."""
    path = _path(text)
    try:
        if path.is_dir() or (path.parent.is_dir() and not path.exists()):
            return path
        if path.exists():
            raise InvalidValue(f"{text!r} is not a directory; use another path")
    except OSError as error:
        raise InvalidValue(f"{text!r} cannot be accessed: {error.strerror}") from error
    raise InvalidValue(f"{text!r} has no parent directory; mount or create it")


def file_mode(text: str) -> int:
    """Accept an octal mode that the owner may read by and others may not write by."""
    if not _MODE.fullmatch(text):
        raise InvalidValue(f"{text!r} is not an octal file mode, such as 0640")
    mode = int(text, 8)
    if not mode & _OWNER_READS or mode & _NOT_FOR_FILES:
        raise InvalidValue(
            f"{text!r} is not accepted: the owner must be able to read, others must not be able to "
            "write, and nobody to execute; use one such as 0640 or 0644"
        )
    return mode


def loopback_address(text: str) -> tuple[str, int]:
    """Accept HOST:PORT with a loopback host: any client that connects gets the token."""
    host, port = validators.address(text)
    if not hosts.is_loopback(host):
        raise InvalidValue(
            f"{text!r} is not a loopback address; use one like 127.0.0.1:8181, because any "
            "client that connects gets the token"
        )
    return host, port


def webhook_url(text: str) -> str:
    """Accept an https URL, or http on a loopback address."""
    return validators.secure_url(text, "http://127.0.0.1:8000/reload")


def file_name(text: str) -> str:
    """Accept the name of a file, as a Secret's key."""
    if (
        not re.fullmatch(r"[-._a-zA-Z0-9]+", text)
        or len(text) > MAX_NAME
        or text == "."
        or text.startswith("..")
    ):
        raise InvalidValue(
            f"{text!r} is not a file name: use letters, digits, hyphens, underscores and dots, not "
            f"two dots at the start, at most {MAX_NAME} characters"
        )
    return text


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise InvalidValue(f"{text!r} is not a path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~nobody
        raise InvalidValue(f"{text!r} names the home directory of an unknown user") from error
