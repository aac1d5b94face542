"""Host names and addresses, as URLs and proxy settings contain them."""

import ipaddress
import re
from typing import Final

MAX_HOST: Final = 253
MAX_PORT: Final = 65_535

# Underscores are not valid in host names, but some internal DNS zones have them.
_LABEL = re.compile(r"[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(host: str) -> Address | None:
    """Return the IP address that a host is; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_host(text: str) -> bool:
    """Return whether this is an IP address, without brackets, or a name that DNS can look up.

    Resolvers raise rather than fail for names with empty or long labels, and a name that ends in a
    number, such as 256.1.1.1, is a mistyped address.
    """
    if parse_address(text) is not None:
        return "%" not in text  # a zone has no place in a URL
    labels = text.removesuffix(".").split(".")
    return (
        len(text) <= MAX_HOST
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdigit()
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: a loopback address or `localhost`."""
    address = parse_address(host)
    return host == "localhost" if address is None else address.is_loopback
