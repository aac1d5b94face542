"""The operator's settings: flags, their environment variables, and the checks at start.

A flag wins over its variable; an empty variable counts as unset, because charts render those. A
message names what was set (flag or variable) and what would do. It never repeats the token URL,
which may hold a password by mistake.
"""

import argparse
import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import urlsplit

from pinecone_token_operator.errors import SettingsInvalid

EXIT_CODES: Final = """\
exit codes:
  0  stopped as asked (SIGTERM, SIGINT)
  1  an unexpected error
  2  a setting cannot be used
  3  the API server is not configured or not reachable at start
"""

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("auto", "json", "text")
MAX_EXCHANGES: Final = 1024
MAX_PORT: Final = 65_535
MIN_RESYNC: Final = timedelta(seconds=10)
MAX_RESYNC: Final = timedelta(hours=24)

# RFC 1123 label, as Kubernetes checks a namespace's name.
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DURATION = re.compile(
    r"(?:(?P<hours>\d{1,6})h)?(?:(?P<minutes>\d{1,6})m)?(?:(?P<seconds>\d{1,6})s)?", re.ASCII
)
_HEADER_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an administrator chose, checked.

    Attributes:
        token_url: where credentials are exchanged; https, or http on loopback.
        audience: the exchange's `audience`.
        api_version: the exchange's `X-Pinecone-Api-Version`.
        ca_bundle: a PEM file to trust instead of the system's certificates.
        namespaces: the namespaces to serve; none means all.
        kubeconfig: the file to connect by when not in a cluster.
        context: the kubeconfig's context; None means its current one.
        max_concurrent_exchanges: how many token requests may be under way at once.
        health_host: the address that probes and metrics listen on.
        health_port: the port that probes and metrics listen on; 0 picks a free one.
        log_level: debug, info, warning or error.
        log_format: auto, json or text.
        resync: how often all resources are listed and looked at again.
    """

    token_url: str
    audience: str
    api_version: str
    ca_bundle: Path | None
    namespaces: tuple[str, ...]
    kubeconfig: Path | None
    context: str | None
    max_concurrent_exchanges: int
    health_host: str
    health_port: int
    log_level: str
    log_format: str
    resync: timedelta


@dataclass(frozen=True, slots=True)
class _Flag:
    name: str
    metavar: str
    default: str | None
    help: str
    repeatable: bool = False

    @property
    def option(self) -> str:
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        return "PTO_" + self.name.upper().replace("-", "_")


_FLAGS: Final = (
    _Flag(
        "token-url",
        "URL",
        "https://login.pinecone.io/oauth/token",
        "token endpoint; https, or plain http on a loopback address",
    ),
    _Flag("audience", "TEXT", "https://api.pinecone.io/", "audience of the tokens"),
    _Flag("api-version", "VERSION", "2025-04", "value of X-Pinecone-Api-Version"),
    _Flag(
        "ca-bundle",
        "FILE",
        None,
        "PEM file of certificates to trust at the token endpoint, instead of the usual ones",
    ),
    _Flag(
        "namespace",
        "NAME",
        None,
        "serve this namespace only; repeat the flag, or separate names by commas; "
        "without it, all namespaces are served",
        repeatable=True,
    ),
    _Flag(
        "kubeconfig",
        "FILE",
        None,
        "how to reach the API server outside a cluster; without it, the pod's service account, "
        "then the usual kubeconfig",
    ),
    _Flag("context", "NAME", None, "context of the kubeconfig; without it, the current one"),
    _Flag(
        "max-concurrent-exchanges",
        "N",
        "32",
        f"token requests under way at once, 1 to {MAX_EXCHANGES}",
    ),
    _Flag(
        "health-address",
        "HOST:PORT",
        "0.0.0.0:8080",
        "where /livez, /readyz and /metrics are served; IPv6 in brackets; port 0 picks a free one",
    ),
    _Flag("log-level", "LEVEL", "info", ", ".join(LOG_LEVELS)),
    _Flag(
        "log-format",
        "FORMAT",
        "auto",
        "auto, json or text; auto is json in a pod or without a terminal",
    ),
    _Flag(
        "resync",
        "DURATION",
        "10m",
        "how often all resources are looked at again, such as 90s, 10m or 1h30m; 10s to 24h",
    ),
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `SettingsInvalid`, like every other bad setting."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise SettingsInvalid(f"{message} (see --help)")


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Return the checked settings from the arguments that follow `run`.

    Raises:
        SettingsInvalid: in one line, what is wrong and what would do.
        SystemExit: after `--help`.
    """
    chosen = vars(_parser().parse_args(argv))

    def given(name: str, check: Callable[[str], T]) -> T | None:
        flag = next(flag for flag in _FLAGS if flag.name == name)
        source, text = _source(flag, chosen[flag.variable], environ)
        if text is None:
            return None
        try:
            return check(text)
        except _Problem as problem:
            raise SettingsInvalid(f"{source}: {problem}") from problem.__cause__

    def needed(name: str, check: Callable[[str], T]) -> T:
        value = given(name, check)
        if value is None:
            raise AssertionError(f"--{name} has no default")
        return value

    host, port = needed("health-address", _address)
    return Settings(
        token_url=needed("token-url", _token_url),
        audience=needed("audience", _audience),
        api_version=needed("api-version", _api_version),
        ca_bundle=given("ca-bundle", _ca_bundle),
        namespaces=given("namespace", _namespaces) or (),
        kubeconfig=given("kubeconfig", _file),
        context=given("context", _not_blank),
        max_concurrent_exchanges=needed("max-concurrent-exchanges", _exchanges),
        health_host=host,
        health_port=port,
        log_level=needed("log-level", lambda text: _one_of(text.lower(), LOG_LEVELS)),
        log_format=needed("log-format", lambda text: _one_of(text.lower(), LOG_FORMATS)),
        resync=needed("resync", _resync),
    )


def _parser() -> Parser:
    parser = Parser(
        prog="pinecone-token-operator run",
        description="Keep a fresh Pinecone access token in the Secret of each PineconeAccessToken.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for flag in _FLAGS:
        default = f"; default {flag.default}" if flag.default else ""
        parser.add_argument(
            flag.option,
            dest=flag.variable,
            metavar=flag.metavar,
            action="append" if flag.repeatable else "store",
            help=f"{flag.help} [{flag.variable}{default}]",
        )
    return parser


def _source(flag: _Flag, chosen: Any, environ: Mapping[str, str]) -> tuple[str, str | None]:  # noqa: ANN401 - argparse's
    """Return what to call the setting in a message, and its text."""
    if chosen is not None:
        return flag.option, ",".join(chosen) if flag.repeatable else chosen
    if environ.get(flag.variable):
        return flag.variable, environ[flag.variable]
    return flag.option, flag.default


class _Problem(Exception):  # noqa: N818 - becomes SettingsInvalid once the setting's name is known
    pass


def _token_url(text: str) -> str:
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        # Not chained: its text repeats parts of the URL.
        raise _Problem(
            "is not a URL; give one like https://login.pinecone.io/oauth/token"
        ) from None
    if url.username is not None or url.password is not None:
        raise _Problem("must not hold a user name or a password")
    # urlsplit drops line breaks and tabs silently, httpx does not.
    if not text.isascii() or not text.isprintable() or " " in text:
        raise _Problem("must not hold blanks, control characters or characters beyond ASCII")
    if url.scheme not in ("http", "https") or not host:
        raise _Problem("must be an https URL, like https://login.pinecone.io/oauth/token")
    if url.fragment:
        raise _Problem("must not hold a fragment (#...)")
    if url.scheme == "http" and not _is_loopback(host):
        raise _Problem("must be https; plain http is accepted for a loopback address only")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _audience(text: str) -> str:
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise _Problem("must not be blank nor hold blanks around it or control characters")
    return text


def _api_version(text: str) -> str:
    if not _HEADER_VALUE.fullmatch(text):
        raise _Problem(f"{text!r} is not a version; give one like 2025-04")
    return text


def _file(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise _Problem(f"{text!r} is not a file")
    return path


def _ca_bundle(text: str) -> Path:
    path = _file(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise _Problem(f"{text!r} holds no certificates in PEM form") from error
    except OSError as error:
        raise _Problem(f"{text!r} cannot be read: {error.strerror}") from error
    if not context.cert_store_stats()["x509"]:
        raise _Problem(f"{text!r} holds no certificates in PEM form")
    return path


def _namespaces(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not _DNS_LABEL.fullmatch(name):
            raise _Problem(
                f"{name!r} is not a namespace name: at most 63 lower-case letters, digits and "
                "hyphens, with a letter or digit at both ends"
            )
    return tuple(dict.fromkeys(names))


def _not_blank(text: str) -> str:
    if not text.strip():
        raise _Problem("must not be blank")
    return text


def _exchanges(text: str) -> int:
    return _whole_number(text, 1, MAX_EXCHANGES)


def _whole_number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))) or not (
        least <= int(text) <= most
    ):
        raise _Problem(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or not host.strip() or (":" in host) != bracketed:
        raise _Problem(
            f"{text!r} is not HOST:PORT, like 0.0.0.0:8080 or, for all of IPv6 too, [::]:8080"
        )
    return host, _whole_number(port, 0, MAX_PORT)


def _one_of(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise _Problem(f"{text!r} is none of {', '.join(choices)}")
    return text


def _resync(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if not match or not text:
        raise _Problem(f"{text!r} is not a duration, like 90s, 10m or 1h30m")
    duration = timedelta(**{unit: int(count) for unit, count in match.groupdict("0").items()})
    if not MIN_RESYNC <= duration <= MAX_RESYNC:
        raise _Problem(f"{text!r} is not between 10s and 24h")
    return duration
