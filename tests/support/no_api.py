"""The API server of tests that make no request."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any


class NoApi:
    """An API server that is not called."""

    async def request(self, method: str, path: str, **_: object) -> dict[str, Any]:
        raise NotImplementedError(method, path)

    def pages(self, path: str, **_: object) -> AsyncIterator[dict[str, Any]]:
        raise NotImplementedError(path)

    def watch(self, path: str, **_: object) -> AsyncGenerator[dict[str, Any], None]:
        raise NotImplementedError(path)
