"""An event loop in a thread of its own, so that any kind of test can use an async server."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from typing import Any, Self, TypeVar

T = TypeVar("T")

_CALL_SECONDS = 30.0


class LoopThread:
    """An event loop that runs between `start` and `stop`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Cancel all tasks, close all connections, and stop the loop."""
        self.call(_cancel_others())
        self.call(self._abort_connections())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CALL_SECONDS)

    async def _abort_connections(self) -> None:
        # asyncio closes a TLS connection once the peer has said goodbye, which takes up to half a
        # minute; a loop that ends earlier leaves it to the garbage collector. Only the loop itself
        # knows its connections.
        transports: Mapping[int, asyncio.Transport] = self._loop._transports  # type: ignore[attr-defined]  # noqa: SLF001
        for transport in list(transports.values()):
            transport.abort()
        await asyncio.sleep(0)  # closes the sockets


class LoopServer(ABC):
    """An async server that any kind of test can use: it runs in a loop thread of its own."""

    def __init__(self, name: str) -> None:
        self._loop = LoopThread(name)

    def __enter__(self) -> Self:
        self._loop.start()
        self._loop.call(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call(self._close())
        self._loop.stop()

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _close(self) -> None: ...


async def close_server(server: asyncio.Server) -> None:
    """Close a server of the running loop; what it has accepted by now becomes a connection first.

    In Python 3.11 a connection that is accepted at the very moment of `server.close()` gets a
    transport that nobody knows and only the garbage collector closes.
    """
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener)
    await asyncio.sleep(0)  # starts the tasks that make transports
    server.close()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
