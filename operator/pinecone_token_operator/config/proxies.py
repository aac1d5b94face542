"""Proxies from the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY. No I/O.

The lower-case form of a variable wins over the upper-case one, as in curl; an empty one counts as
unset. NO_PROXY is read as Go programs read it, which Kubernetes administrators know:

    *                     no host is reached through a proxy
    example.com           this host and its subdomains
    .example.com          its subdomains only, as does *.example.com
    10.1.2.3, fd00::1     this address; an IPv6 address may be in brackets
    10.0.0.0/8, fd00::/8  all addresses of this network; names are not looked up
    example.com:8443      only on this port; [fd00::1]:8443 for an IPv6 address

Beyond that, `*` stands for any characters elsewhere in a name too, as in 10.0.*, and white space
separates entries as commas do. What cannot be understood is refused at startup, because a route
that nobody intended would be noticed much later.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pinecone_token_operator.config import hosts
from pinecone_token_operator.config.validators import InvalidValue
from pinecone_token_operator.errors import SettingsInvalid

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"\.?[\w*-]+(\.[\w*-]+)*\.?")
_IN_BRACKETS: Final = re.compile(
    r"\[(?P<address>[0-9a-f:.]+(/[0-9]+)?)\](?P<prefix>/[0-9]+)?(:(?P<port>[0-9]+))?"
)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_Rule = Callable[[str, int], bool]
"""Whether a host, in lower case and without brackets, is to be reached directly at a port."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to connect through.

    Attributes:
        scheme: http or https: how the proxy itself is reached.
        host: its name or address, without brackets.
        port: its port.
        username: the decoded user name; empty if it asks for none.
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
    """The environment's proxies, and the hosts that are reached without one."""

    https: Proxy | None = None
    http: Proxy | None = None
    fallback: Proxy | None = None
    direct: tuple[_Rule, ...] = ()

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
    direct = _direct(environ)
    if any(rule("", 0) for rule in direct):  # a bare asterisk
        return Proxies()
    https, http = _proxy("HTTPS_PROXY", environ), _proxy("HTTP_PROXY", environ)
    # Desktops set a SOCKS proxy here besides two others, which then are all that is used.
    fallback = None if https and http else _proxy("ALL_PROXY", environ)
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
        raise InvalidValue("is a SOCKS proxy, which is not supported; use an http or https proxy")
    proxy = _parse_url(text if "://" in text else f"http://{text}")
    if proxy is None:
        raise InvalidValue(
            "is not a proxy URL; use one like http://proxy.example.com:3128, and percent-encode "
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


def _direct(environ: Mapping[str, str]) -> tuple[_Rule, ...]:
    variable, text = _find("NO_PROXY", environ)
    rules = []
    for entry in text.lower().replace(",", " ").split():
        if entry.startswith("/"):
            continue  # a socket's path, which some programs take here, is not a host
        rule = _parse_entry(re.sub(r"^https?://|/$", "", entry))
        if rule is None:
            shown = "an entry" if "@" in entry else repr(entry)
            raise SettingsInvalid(
                f"{variable}: {shown} is not a host name, IP address or network; "
                "use a list like 10.0.0.0/8,fd00::/8,.svc,.cluster.local"
            )
        rules.append(rule)
    return tuple(rules)


def _parse_entry(entry: str) -> _Rule | None:
    if match := _IN_BRACKETS.fullmatch(entry):
        host, port = match["address"] + (match["prefix"] or ""), match["port"] or ""
    elif _network(entry):
        host, port = entry, ""
    else:
        host, _, port = entry.partition(":")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= hosts.MAX_PORT):
        return None
    only_port = int(port) if port else None
    if network := _network(host):
        return _network_rule(network, only_port)
    return _name_rule(host, only_port) if _NAME.fullmatch(host) else None


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _network_rule(network: _Network, only_port: int | None) -> _Rule:
    def matches(host: str, port: int) -> bool:
        address = hosts.parse_address(host)
        return address is not None and address in network and only_port in (None, port)

    return matches


def _name_rule(text: str, only_port: int | None) -> _Rule:
    name = text.removeprefix("*") if text.startswith("*.") else text
    # A leading dot is for subdomains only; without one, the host itself is meant as well.
    start = ".+" if name.startswith(".") else r"(.+\.)?"
    rest = ".*".join(re.escape(part) for part in name.removesuffix(".").split("*"))
    pattern = re.compile(start + rest)

    def matches(host: str, port: int) -> bool:
        if "*" not in text and hosts.parse_address(host) is not None:
            return False  # 1.2.3.4 is no subdomain of 3.4
        return only_port in (None, port) and bool(pattern.fullmatch(host))

    return matches
