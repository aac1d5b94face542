"""Sockets that listen, and how their addresses are shown."""

import contextlib
import socket


def listen_everywhere(port: int) -> socket.socket:
    """Return a socket that listens on all addresses, of the families that the kernel has.

    asyncio, given no host, would fail where IPv6 is disabled, and given `::` refuse IPv4.

    Raises:
        OSError: the port is in use.
    """
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def shown(host: str, port: int) -> str:
    """Return an address for people: an IPv6 host is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
