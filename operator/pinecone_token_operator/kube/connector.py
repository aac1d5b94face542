"""Connections to the API server, also through a proxy that is itself reached over TLS."""

import ssl
import sys
from collections.abc import Callable

import aiohttp
from yarl import URL


class Connector(aiohttp.TCPConnector):
    """Verifies the certificate of a proxy by another trust than that of the server behind it.

    aiohttp uses one trust for both. The cluster's CA does not sign a company's proxy, and the
    company's CA must not be able to stand in for the API server.

    Args:
        tls: the trust for the server.
        proxy: the URL of the proxy on the way, if there is one.
        proxy_tls: returns the trust for new connections to the proxy.
    """

    def __init__(
        self, tls: ssl.SSLContext, proxy: str | None, proxy_tls: Callable[[], ssl.SSLContext]
    ) -> None:
        super().__init__(
            ssl=tls,
            limit=0,  # the callers limit themselves
            # It keeps TLS connections that the other side does not close:
            # https://github.com/python/cpython/pull/118960
            enable_cleanup_closed=sys.version_info < (3, 12),
        )
        self._proxy = URL(proxy).origin() if proxy else None
        self._proxy_tls = proxy_tls

    def _get_ssl_context(self, req: aiohttp.ClientRequest) -> ssl.SSLContext | None:
        if req.is_ssl() and req.url.origin() == self._proxy:
            return self._proxy_tls()
        return super()._get_ssl_context(req)
