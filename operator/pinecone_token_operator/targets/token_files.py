"""A token as files: a target Secret's keys, and the state that a restart resumes from. No I/O.

What a target Secret has in annotations is in the file `..state`, which belongs to the same version
as the token.
"""

import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pinecone_token_operator.targets.stored_token import (
    MAX_LIFETIME,
    StoredToken,
    checksum,
    format_time,
    parse_time,
    render,
)

STATE: Final = "..state"
_TOKEN: Final = "access_token"  # noqa: S105 - a file's name, not a token


def token_files(token: StoredToken, template: Mapping[str, str], salt: str) -> dict[str, bytes]:
    """Return the content of each file.

    Args:
        token: the token.
        template: further files, with placeholders as in `api.placeholders`.
        salt: the key of the fingerprint in `token.credentials`, and of the checksum.
    """
    state = {
        "refreshed-at": format_time(token.refreshed_at),
        "expires-at": format_time(token.expires_at),
        "refresh-at": format_time(token.refresh_at),
        "credentials": token.credentials,
        "salt": salt,
        "checksum": checksum(token, salt),
    }
    texts = {**render(token, template), STATE: json.dumps(state, indent=1) + "\n"}
    return {name: text.encode() for name, text in texts.items()}


def is_ours(files: Mapping[str, bytes]) -> bool:
    """Return whether `token_files` made these files."""
    return STATE in files


def read_token(files: Mapping[str, bytes]) -> tuple[StoredToken, str] | None:
    """Return the token and the salt that files hold; None if they are not intact.

    A lifetime that no endpoint issues is rejected, even with a matching checksum.
    """
    try:
        state = json.loads(files[STATE])
        token = StoredToken(
            access_token=files[_TOKEN].decode("ascii"),
            token_type="Bearer",  # noqa: S106 - the type's name, not a token
            refreshed_at=parse_time(state["refreshed-at"]),
            expires_at=parse_time(state["expires-at"]),
            refresh_at=parse_time(state["refresh-at"]),
            credentials=str(state["credentials"]),
        )
        salt, written = str(state["salt"]), str(state["checksum"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    lifetime = token.expires_at - token.refreshed_at
    if not token.access_token or not timedelta() < lifetime <= MAX_LIFETIME:
        return None
    intact = hmac.compare_digest(checksum(token, salt).encode(), written.encode())
    return (token, salt) if intact else None
