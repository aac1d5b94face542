"""Maps the HTTP client's errors to ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from pinecone_token_operator.errors import ApiError


@contextmanager
def api_errors(request: str) -> Iterator[None]:
    """Raise `ApiError` for each error of a connection; the text of a reply is never quoted.

    Args:
        request: the method and path, for the message.
    """
    try:
        yield
    except TimeoutError as error:
        raise ApiError(0, "Timeout", f"{request}: no reply in time") from error
    except aiohttp.ClientConnectorError as error:
        # A certificate's error is a ClientConnectorError without an `os_error`.
        cause = getattr(error, "certificate_error", None) or error.os_error
        raise ApiError(
            0, "ConnectionFailed", f"{request}: no connection to {error.host}:{error.port}: {cause}"
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        # Its text may quote the reply.
        raise ApiError(
            0, "ConnectionFailed", f"{request}: the connection failed ({type(error).__name__})"
        ) from error
