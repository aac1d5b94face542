"""The list of hosts that are reached without a proxy: NO_PROXY. No I/O.

It is read as Go programs read it, which Kubernetes administrators know:

    *                     no host is reached through a proxy
    example.com           this host and its subdomains
    .example.com          its subdomains only, as does *.example.com
    10.1.2.3, fd00::1     this address; an IPv6 address may be in brackets
    10.0.0.0/8, fd00::/8  all addresses of this network; names are not looked up
    example.com:8443      only on this port; [fd00::1]:8443 for an IPv6 address

Beyond that, `*` stands for any characters elsewhere in a name too, as in 10.0.*, and white space
separates entries as commas do.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Final

from pinecone_token_operator.config import hosts
from pinecone_token_operator.config.validators import InvalidValue

_NAME: Final = re.compile(r"\.?[\w*-]+(\.[\w*-]+)*\.?")
_IN_BRACKETS: Final = re.compile(
    r"\[(?P<address>[0-9a-f:.]+(/[0-9]+)?)\](?P<prefix>/[0-9]+)?(:(?P<port>[0-9]+))?"
)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Rule = Callable[[str, int], bool]
"""Returns whether a host, in lower case and without brackets, is reached directly at a port."""


def parse_list(text: str) -> tuple[Rule, ...]:
    """Parse a list of hosts.

    Raises:
        InvalidValue: an entry is not understood; the message names it.
    """
    rules = []
    for entry in text.lower().replace(",", " ").split():
        if entry.startswith("/"):
            continue  # a socket's path, which some programs take here, is not a host
        rule = _parse_entry(re.sub(r"^https?://|/$", "", entry))
        if rule is None:
            shown = "an entry" if "@" in entry else repr(entry)
            raise InvalidValue(
                f"{shown} is not a host name, IP address or network; "
                "use a list like 10.0.0.0/8,fd00::/8,.svc,.cluster.local"
            )
        rules.append(rule)
    return tuple(rules)


def _parse_entry(entry: str) -> Rule | None:
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
    is_name = match is None and _NAME.fullmatch(host)
    return _name_rule(host, only_port) if is_name else None


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _network_rule(network: _Network, only_port: int | None) -> Rule:
    def matches(host: str, port: int) -> bool:
        address = hosts.parse_address(host)
        return address is not None and address in network and only_port in (None, port)

    return matches


def _name_rule(text: str, only_port: int | None) -> Rule:
    name = text.removeprefix("*") if text.startswith("*.") else text
    # A leading dot is for subdomains only; without one, the host itself is meant as well.
    start = ".+" if name.startswith(".") else r"(.+\.)?"
    rest = ".*".join(re.escape(part) for part in name.removesuffix(".").split("*"))
    pattern = re.compile(start + rest)

    def matches(host: str, port: int) -> bool:
        if "*" not in text and hosts.parse_address(host) is not None:
            return False  # 1.2.3.4 is not a subdomain of 3.4
        return only_port in (None, port) and bool(pattern.fullmatch(host))

    return matches
