"""A loop that ends leaves no connection to the garbage collector."""

import asyncio
import gc
import socket
import ssl
import threading
import warnings
from pathlib import Path

from tests.support.certificates import make_certificates
from tests.support.loop_thread import LoopThread


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
        loop = LoopThread("test")
        loop.start()
        loop.call(connect_and_close(listener.getsockname()[1]))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop.stop()
            del loop
            gc.collect()
        ended.set()
        server.join()

    assert [str(each.message) for each in caught] == []
