"""A loop that ends leaves no connection to the garbage collector."""

import asyncio
import gc
import socket
import ssl
import threading
import warnings
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import make_certificates
from tests.support.loop_thread import LoopThread, close_server


def test_connections_are_closed_when_the_peer_does_not_answer(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "leaf.key")
    trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True):
            ended.wait()  # never reads, so it never hears that the client closes

    async def connect_and_close(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        left = warnings_after(connect_and_close(listener.getsockname()[1]))
        ended.set()
        server.join()

    assert left == []


@pytest.mark.parametrize("turns", range(4))
def test_connections_are_closed_when_they_are_just_accepted(turns: int) -> None:
    """After so many turns of the loop; from none, not accepted yet, to all, established."""

    async def connect_and_close() -> None:
        server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            for _ in range(turns):
                await asyncio.sleep(0)
            await close_server(server)

    assert warnings_after(connect_and_close()) == []


def warnings_after(coroutine: Coroutine[Any, Any, None]) -> list[str]:
    """Return what Python warns of when a loop has run a coroutine and ended."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = LoopThread("test")
        loop.start()
        loop.call(coroutine)
        loop.stop()
        del loop
        gc.collect()
    return [str(each.message) for each in caught]
