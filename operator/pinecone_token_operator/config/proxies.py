"""Proxies from the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY. No I/O.

The lower-case form of a variable wins over the upper-case one, as in curl; an empty one counts as
unset. What cannot be understood is refused at startup, because a route that nobody intended would
be noticed much later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pinecone_token_operator.config import hosts
from pinecone_token_operator.config.no_proxy import Rule, parse_list
from pinecone_token_operator.config.validators import InvalidValue
from pinecone_token_operator.errors import SettingsInvalid

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to connect through.

    Attributes:
        scheme: http or https: how the proxy itself is reached.
        host: its name or address, without brackets.
        port: its port.
        username: the decoded user name; empty if none is needed.
        password: the decoded password.
    """

    scheme: str
    host: str
    port: int
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """The proxy's URL without the user name and the password."""
        return f"{self.scheme}://{self._address}"

    @property
    def url_with_credentials(self) -> str:
        """The proxy's URL; not to be logged."""
        if not self.username and not self.password:
            return self.url
        username, password = quote(self.username, safe=""), quote(self.password, safe="")
        return f"{self.scheme}://{username}:{password}@{self._address}"

    @property
    def _address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Proxies:
    """The environment's proxies, and the hosts that are reached without one.

    Attributes:
        https: the proxy for https URLs.
        http: the proxy for http URLs.
        fallback: the proxy for https URLs if there is no other.
        direct: the rules of NO_PROXY.
    """

    https: Proxy | None = None
    http: Proxy | None = None
    fallback: Proxy | None = None
    direct: tuple[Rule, ...] = ()

    def for_endpoint(self, url: str) -> Proxy | None:
        """Return the proxy for a token endpoint.

        A plain http URL, which is a loopback address, has none: its request must not leave the
        machine, as it carries the client secret.
        """
        target = urlsplit(url)
        if target.scheme != "https" or self._is_direct(target):
            return None
        return self.https or self.fallback

    def for_api_server(self, url: str) -> Proxy | None:
        """Return the proxy for the API server, as kubectl would choose it.

        So ALL_PROXY does not count, and a loopback address has none.
        """
        target = urlsplit(url)
        if hosts.is_loopback(target.hostname or "") or self._is_direct(target):
            return None
        return self.https if target.scheme == "https" else self.http

    def _is_direct(self, target: SplitResult) -> bool:
        host = (target.hostname or "").removesuffix(".")
        port = target.port or _DEFAULT_PORTS.get(target.scheme, 0)
        return any(rule(host, port) for rule in self.direct)


def read(environ: Mapping[str, str]) -> Proxies:
    """Parse the environment's proxy variables.

    Raises:
        SettingsInvalid: a variable cannot be used; the message names it and repeats no password.
    """
    variable, text = _find("NO_PROXY", environ)
    try:
        direct = parse_list(text)
    except InvalidValue as error:
        raise SettingsInvalid(f"{variable}: {error}") from None
    if any(rule("", 0) for rule in direct):  # a bare asterisk
        return Proxies()
    https, http = _proxy("HTTPS_PROXY", environ), _proxy("HTTP_PROXY", environ)
    # Ignored if HTTPS_PROXY is set: many desktops then set a SOCKS proxy here.
    fallback = None if https else _proxy("ALL_PROXY", environ)
    return Proxies(https, http, fallback, direct)


def _find(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable's form that is set, and its text; the text is empty if none is."""
    for variable in (name.lower(), name):
        if text := environ.get(variable, "").strip():
            return variable, text
    return name, ""


def _proxy(name: str, environ: Mapping[str, str]) -> Proxy | None:
    variable, text = _find(name, environ)
    if not text:
        return None
    try:
        return parse_url(text)
    except InvalidValue as error:
        raise SettingsInvalid(f"{variable}: {error}") from None


def parse_url(text: str) -> Proxy:
    """Parse a proxy's URL; without a scheme it is an http one.

    Raises:
        InvalidValue: it cannot be used; the message does not repeat it.
    """
    scheme = text.partition("://")[0].lower() if "://" in text else "http"
    if scheme.startswith("socks"):
        raise InvalidValue("SOCKS proxies are not supported; use an http or https proxy")
    proxy = _parse_url(text if "://" in text else f"http://{text}")
    if proxy is None:
        raise InvalidValue(
            "not a proxy URL; use one like http://proxy.example.com:3128, and percent-encode "
            "special characters in a user name and password"
        )
    return proxy


def _parse_url(text: str) -> Proxy | None:
    # urlsplit drops line breaks and tabs silently, and its errors repeat parts of the text.
    if not text.isprintable() or " " in text:
        return None
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
        username, password = (
            unquote(part or "", errors="strict") for part in (url.username, url.password)
        )
    except ValueError:
        return None
    # What follows the host is a password's special character more likely than a path.
    if url.scheme not in _DEFAULT_PORTS or url.path not in ("", "/") or url.query or url.fragment:
        return None
    if not hosts.is_host(host) or port == 0:
        return None
    return Proxy(url.scheme, host, port or _DEFAULT_PORTS[url.scheme], username, password)
