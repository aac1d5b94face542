"""The proxy of the settings, as httpx takes it."""

import ssl

import httpx

from pinecone_token_operator.config.proxies import Proxy


def httpx_proxy(proxy: Proxy | None, context: ssl.SSLContext) -> httpx.Proxy | None:
    """Return httpx's form of a proxy.

    Args:
        proxy: the proxy; None to connect directly.
        context: what the certificate of an https proxy is verified by.
    """
    if proxy is None:
        return None
    return httpx.Proxy(
        proxy.url,
        ssl_context=context if proxy.scheme == "https" else None,
        auth=(proxy.username, proxy.password) if proxy.username or proxy.password else None,
    )
