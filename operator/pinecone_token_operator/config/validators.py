"""Checks of single settings: each takes the text and returns the value.

A text that will not do raises `Problem`, whose message goes on from the setting's name.
"""

import ipaddress
import re
import ssl
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pinecone_token_operator.config.durations import parse_duration
from pinecone_token_operator.config.shard import Shard

MAX_EXCHANGES: Final = 1024
MAX_PORT: Final = 65_535
MAX_NAME: Final = 253
MAX_SHARDS: Final = 1000

# RFC 1123 label, as Kubernetes checks a namespace's name.
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HEADER_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Problem(Exception):  # noqa: N818 - becomes SettingsInvalid once the setting's name is known
    """What is wrong with a text, and what would do."""


def token_url(text: str) -> str:
    """Take https, or plain http on loopback."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        # Not chained: its text repeats parts of the URL.
        raise Problem("is not a URL; give one like https://login.pinecone.io/oauth/token") from None
    if url.username is not None or url.password is not None:
        raise Problem("must not hold a user name or a password")
    # urlsplit drops line breaks and tabs silently, httpx does not.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Problem("must not hold blanks, control characters or characters beyond ASCII")
    if url.scheme not in ("http", "https") or not host:
        raise Problem("must be an https URL, like https://login.pinecone.io/oauth/token")
    if url.fragment:
        raise Problem("must not hold a fragment (#...)")
    if url.scheme == "http" and not _is_loopback(host):
        raise Problem("must be https; plain http is accepted for a loopback address only")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def audience(text: str) -> str:
    """Take any printable text without blanks around it."""
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise Problem("must not be blank nor hold blanks around it or control characters")
    return text


def api_version(text: str) -> str:
    """Take what fits into a header."""
    if not _HEADER_VALUE.fullmatch(text):
        raise Problem(f"{text!r} is not a version; give one like 2025-04")
    return text


def existing_file(text: str) -> Path:
    """Take the path of a file."""
    try:
        path = Path(text).expanduser()
        if path.is_file():
            return path
    except RuntimeError as error:  # ~somebody
        raise Problem(f"{text!r} is in the home directory of nobody") from error
    except OSError as error:
        raise Problem(f"{text!r} cannot be looked up: {error.strerror}") from error
    raise Problem(f"{text!r} is not a file")


def ca_bundle(text: str) -> Path:
    """Take the path of a PEM file with certificates."""
    path = existing_file(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise Problem(f"{text!r} holds no certificates in PEM form") from error
    except OSError as error:
        raise Problem(f"{text!r} cannot be read: {error.strerror}") from error
    if not context.cert_store_stats()["x509"]:
        raise Problem(f"{text!r} holds no certificates in PEM form")
    return path


def namespaces(text: str) -> tuple[str, ...]:
    """Take names separated by commas, each once."""
    return tuple(dict.fromkeys(dns_label(name.strip()) for name in text.split(",")))


def dns_label(text: str) -> str:
    """Take a namespace's name."""
    if not _DNS_LABEL.fullmatch(text):
        raise Problem(
            f"{text!r} is not a namespace name: at most 63 lower-case letters, digits and "
            "hyphens, with a letter or digit at both ends"
        )
    return text


def dns_name(text: str) -> str:
    """Take a name as most Kubernetes objects have it."""
    if len(text) > MAX_NAME or not all(_DNS_LABEL.fullmatch(part) for part in text.split(".")):
        raise Problem(
            f"{text!r} is not a Kubernetes name: lower-case letters, digits, hyphens and dots, "
            f"at most {MAX_NAME}"
        )
    return text


def switch(text: str) -> bool:
    """Take true or false, in any case."""
    return one_of(text.lower(), ("true", "false")) == "true"


def not_blank(text: str) -> str:
    """Take anything but blanks."""
    if not text.strip():
        raise Problem("must not be blank")
    return text


def exchanges(text: str) -> int:
    """Take a number of exchanges."""
    return _whole_number(text, 1, MAX_EXCHANGES)


def shard(text: str) -> Shard:
    """Take INDEX/COUNT."""
    index, slash, count = text.partition("/")
    if not slash:
        raise Problem(f"{text!r} is not INDEX/COUNT, like 0/4 for the first of four")
    of = _whole_number(count, 1, MAX_SHARDS)
    return Shard(_whole_number(index, 0, of - 1), of)


def _whole_number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))) or not (
        least <= int(text) <= most
    ):
        raise Problem(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)


def address(text: str) -> tuple[str, int]:
    """Take HOST:PORT."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or not host.strip() or (":" in host) != bracketed:
        raise Problem(
            f"{text!r} is not HOST:PORT, like 0.0.0.0:8080 or, for all of IPv6 too, [::]:8080"
        )
    return host, _whole_number(port, 0, MAX_PORT)


def one_of(text: str, choices: Sequence[str]) -> str:
    """Take one of the choices."""
    if text not in choices:
        raise Problem(f"{text!r} is none of {', '.join(choices)}")
    return text


def duration(shortest: str, longest: str) -> Callable[[str], timedelta]:
    """Take a duration within bounds."""

    def check(text: str) -> timedelta:
        try:
            return parse_duration(text, shortest, longest)
        except ValueError as error:
            raise Problem(f"{text!r} {error}") from error

    return check
