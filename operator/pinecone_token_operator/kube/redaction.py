"""Errors of aiohttp without a proxy's password, which their `repr` would show, and kopf logs it."""

import aiohttp
from aiohttp import ClientConnectorError, ClientHttpProxyError, hdrs
from multidict import CIMultiDict, CIMultiDictProxy


async def send_without_leaks(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request as a middleware does; errors name no proxy credentials."""
    try:
        return await handler(request)
    except ClientConnectorError as error:
        connection, *rest = error.args
        error.args = (connection._replace(proxy=None, proxy_auth=None), *rest)
        raise
    except ClientHttpProxyError as error:
        headers = CIMultiDict(error.request_info.headers)
        headers.popall(hdrs.PROXY_AUTHORIZATION, None)
        error.request_info = aiohttp.RequestInfo(
            error.request_info.url.with_user(None),
            error.request_info.method,
            CIMultiDictProxy(headers),
            error.request_info.real_url.with_user(None),
        )
        error.args = (error.request_info, error.history)
        # The reason phrase and the headers of the proxy's reply can quote the request.
        error.message, error.headers = "", None
        raise
