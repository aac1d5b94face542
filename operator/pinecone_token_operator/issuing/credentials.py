"""A service account's credentials, parsed from a Secret, and their fingerprint. No I/O."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pinecone_token_operator.errors import CredentialsInvalid

_DIGITS: Final = 32
# To be raised when the same Secret starts to give another fingerprint.
_FORMAT: Final = "1"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A service account's client id and client secret; `repr` shows neither."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)


def read_credentials(
    data: Mapping[str, str], client_id_key: str, client_secret_key: str
) -> Credentials:
    """Parse credentials from the `data` of a Secret, whose values are base64.

    Raises:
        CredentialsInvalid: a key is missing, blank, or not base64-encoded UTF-8 text.
    """
    return Credentials(
        client_id=_parse_key(data, client_id_key),
        client_secret=_parse_key(data, client_secret_key),
    )


def tidy(text: str) -> str:
    """Return a value as its author meant it."""
    # Files made by `echo` end in a newline, and some editors start one with a byte order mark.
    return text.removeprefix("\ufeff").strip()


def fingerprint(credentials: Credentials, uid: str, audience: str, token_url: str) -> str:
    """Return 32 hex digits that change with the account, the audience or the token endpoint.

    Keyed by the resource's UID, so that equal credentials can't be recognized across resources.
    """
    return _digest(uid, (credentials.client_id, credentials.client_secret, audience, token_url))


def fingerprint_source(fingerprint: str, uid: str, source: Iterable[str]) -> str:
    """Return 32 hex digits that say from what a fingerprint was computed.

    Only that very fingerprint, resource and source have them. They contain no secret beyond the
    fingerprint.

    Args:
        fingerprint: the fingerprint.
        uid: the resource's UID.
        source: everything that the fingerprint depends on, with the UID and the resourceVersion of
            the Secret in place of its data.
    """
    return _digest(uid, (_FORMAT, fingerprint, *source))


def _digest(uid: str, parts: Iterable[str]) -> str:
    # A length before each part keeps ("ab", "c") apart from ("a", "bc").
    encoded = [part.encode() for part in parts]
    message = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
    return hmac.new(uid.encode(), message, hashlib.sha256).hexdigest()[:_DIGITS]


def _parse_key(data: Mapping[str, str], key: str) -> str:
    encoded = data.get(key)
    if encoded is None:
        raise CredentialsInvalid(
            f"key {key!r} is missing; add it, or set the key's name in spec.credentialsSecretRef"
        )
    text = _decode(encoded)
    if text is None:
        raise CredentialsInvalid(
            f"key {key!r} is not base64-encoded UTF-8 text; recreate the Secret, for example with "
            "kubectl create secret generic --from-literal"
        )
    text = tidy(text)
    if not text:
        raise CredentialsInvalid(f"key {key!r} is blank; set it to the service account's value")
    return text


def _decode(encoded: str) -> str | None:
    # A decoding error carries the bytes that it could not decode, which are secret. So no other
    # error is raised while it is handled: it would become that one's context.
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
