"""Validation of single settings: each function takes text and returns the value.

A text that is not accepted raises `InvalidValue`. Its message is one line that continues after the
setting's name and says what is accepted. It never repeats a URL, which may hold a password by
mistake.
"""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pinecone_token_operator.config import hosts
from pinecone_token_operator.config.durations import parse_duration
from pinecone_token_operator.config.shard import Shard

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("auto", "json", "text")
MAX_EXCHANGES: Final = 1024
MAX_NAME: Final = 253
MAX_SHARDS: Final = 1000
MAX_SECONDS: Final = 3600

# RFC 1123 label, as Kubernetes validates a namespace's name.
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HEADER_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")
_SECONDS = re.compile(r"[0-9]{1,5}(\.[0-9]{1,6})?")


class InvalidValue(ValueError):  # noqa: N818 - reads as the fact it states
    """A setting's text is not accepted; the message says why, and what is."""


def token_url(text: str) -> str:
    """Accept an https URL, or http on a loopback address."""
    return secure_url(text, "https://login.pinecone.io/oauth/token")


def secure_url(text: str, example: str) -> str:
    """Accept an https URL, or http on a loopback address; the example is for messages."""
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        # Not chained: its text repeats parts of the URL.
        raise InvalidValue(f"not a URL; use one like {example}") from None
    if url.username is not None or url.password is not None:
        raise InvalidValue("must not contain a user name or password")
    # urlsplit drops line breaks and tabs silently, httpx does not.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidValue("must not contain spaces, control characters or non-ASCII characters")
    if url.scheme not in ("http", "https") or not host:
        raise InvalidValue(f"must be an https URL, like {example}")
    if url.fragment:
        raise InvalidValue("must not contain a fragment (#...)")
    if not hosts.is_host(host) or port == 0:
        raise InvalidValue("invalid host or port; check it for typos")
    if url.scheme == "http" and not hosts.is_loopback(host):
        raise InvalidValue("must be https; plain http is accepted for a loopback address only")
    return text


def audience(text: str) -> str:
    """Accept printable text without surrounding spaces."""
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise InvalidValue(
            "must not be empty, start or end with a space, or contain control characters"
        )
    return text


def api_version(text: str) -> str:
    """Accept what fits into a header."""
    if not _HEADER_VALUE.fullmatch(text):
        raise InvalidValue(f"{text!r} is not a version; use one like 2025-04")
    return text


def existing_file(text: str) -> Path:
    """Accept the path of a file."""
    try:
        path = Path(text).expanduser()
        if path.is_file():
            return path
    except RuntimeError as error:  # ~nobody
        raise InvalidValue(f"{text!r} names the home directory of an unknown user") from error
    except OSError as error:
        raise InvalidValue(f"{text!r} cannot be accessed: {error.strerror}") from error
    except ValueError as error:  # a NUL, which only a caller in process can pass
        raise InvalidValue(f"{text!r} is not a path") from error
    raise InvalidValue(f"{text!r} is not a file")


def ca_bundle(text: str) -> Path:
    """Accept the path of a PEM file with certificates."""
    import ssl  # noqa: PLC0415 - a tenth of the time to --help, and rarely needed there

    path = existing_file(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise InvalidValue(f"{text!r} contains no certificates in PEM format") from error
    except OSError as error:
        raise InvalidValue(f"{text!r} cannot be read: {error.strerror}") from error
    if not context.cert_store_stats()["x509"]:
        raise InvalidValue(f"{text!r} contains no certificates in PEM format")
    return path


def ca_directory(text: str) -> str:
    """Accept a directory of CA certificates, or several separated by colons, as OpenSSL does.

    OpenSSL skips what is not there, and finds a certificate only by the hash of its name.
    """
    for part in text.split(":"):
        try:
            if any(_HASHED_NAME.fullmatch(path.name) for path in Path(part).iterdir()):
                return text
        except OSError:
            continue
    raise InvalidValue(
        f"{text!r} contains no certificates with hashed names; prepare it with openssl rehash"
    )


def appendable_file(text: str) -> Path:
    """Accept the path of a file that can be appended to, or created."""
    try:
        with Path(text).open("ab"):
            return Path(text)
    except OSError as error:
        raise InvalidValue(f"{text!r} cannot be written: {error.strerror}") from error


def dns_label(text: str) -> str:
    """Accept a namespace's name."""
    if not _DNS_LABEL.fullmatch(text):
        raise InvalidValue(
            f"{text!r} is not a namespace name: use at most 63 lower-case letters, digits and "
            "hyphens, starting and ending with a letter or digit"
        )
    return text


def namespaces(text: str) -> tuple[str, ...]:
    """Accept names separated by commas; returns each once."""
    return tuple(dict.fromkeys(dns_label(name.strip()) for name in text.split(",")))


def dns_name(text: str) -> str:
    """Accept the name of most other Kubernetes objects."""
    if len(text) > MAX_NAME or not all(_DNS_LABEL.fullmatch(part) for part in text.split(".")):
        raise InvalidValue(
            f"{text!r} is not a Kubernetes name: use lower-case letters, digits, hyphens and "
            f"dots, at most {MAX_NAME} characters"
        )
    return text


def boolean(text: str) -> bool:
    """Accept true or false, in any case."""
    return _one_of(text.lower(), ("true", "false")) == "true"


def not_blank(text: str) -> str:
    """Accept any text but spaces."""
    if not text.strip():
        raise InvalidValue("must not be blank")
    return text


def exchanges(text: str) -> int:
    """Accept a number of concurrent exchanges."""
    return _whole_number(text, 1, MAX_EXCHANGES)


def shard(text: str) -> Shard:
    """Accept INDEX/COUNT."""
    index, slash, count = text.partition("/")
    if not slash:
        raise InvalidValue(f"{text!r} is not INDEX/COUNT, like 0/4 for the first of four shards")
    of = _whole_number(count, 1, MAX_SHARDS)
    return Shard(_whole_number(index, 0, of - 1), of)


def _whole_number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))) or not (
        least <= int(text) <= most
    ):
        raise InvalidValue(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)


def seconds(text: str) -> timedelta:
    """Accept a number of seconds, such as 60 or 0.5."""
    if not _SECONDS.fullmatch(text) or not 0 < float(text) <= MAX_SECONDS:
        raise InvalidValue(f"{text!r} is not a number of seconds above 0 and up to {MAX_SECONDS}")
    return timedelta(seconds=float(text))


def address(text: str) -> tuple[str, int]:
    """Accept HOST:PORT, or :PORT for all addresses of both families, as an empty host."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or (text != f":{port}" and not host.strip()) or (":" in host) != bracketed:
        raise InvalidValue(
            f"{text!r} is not HOST:PORT, like 127.0.0.1:8080 or [::1]:8080, or :PORT for all "
            "addresses"
        )
    return host, _whole_number(port, 0, hosts.MAX_PORT)


def log_level(text: str) -> str:
    """Accept a log level, in any case."""
    return _one_of(text.lower(), LOG_LEVELS)


def log_format(text: str) -> str:
    """Accept a log format, in any case."""
    return _one_of(text.lower(), LOG_FORMATS)


def _one_of(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise InvalidValue(f"{text!r} is not one of {', '.join(choices)}")
    return text


def duration(shortest: str, longest: str) -> Callable[[str], timedelta]:
    """Accept a duration within bounds."""

    def check(text: str) -> timedelta:
        try:
            return parse_duration(text, shortest, longest)
        except ValueError as error:
            raise InvalidValue(f"{text!r} {error}") from error

    return check
