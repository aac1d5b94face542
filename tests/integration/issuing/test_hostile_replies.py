"""Replies that break the rules of HTTP or TLS, sent byte by byte by a real server on loopback."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from tests.integration.issuing.conftest import MakeClient
from tests.support.certificates import make_certificates
from tests.support.stream_server import Serve, stream_server

CREDENTIALS = Credentials("client-1", "s3cret-of-client-1")
OK = b"HTTP/1.1 200 OK\r\n"
UNAVAILABLE, INVALID = ExchangeFailure.UNAVAILABLE, ExchangeFailure.INVALID


@contextlib.asynccontextmanager
async def serving(serve: Serve, certificates: Path | None) -> AsyncIterator[str]:
    context = None
    if certificates:
        make_certificates(certificates)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
    writers = []

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError):
            await serve(reader, writer)

    async with stream_server(noted, context) as port:
        yield f"https://127.0.0.1:{port}/oauth/token"
        for writer in writers:  # the clients keep their connections
            writer.transport.abort()


def replying(reply: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        await asyncio.sleep(0.05)

    return serve


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        pytest.param(b"", UNAVAILABLE, id="nothing"),
        pytest.param(b"\x00\xff" * 99, UNAVAILABLE, id="not HTTP"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", UNAVAILABLE, id="another protocol"),
        pytest.param(b"HTTP/1.1 999 What\r\n\r\n", UNAVAILABLE, id="impossible status"),
        pytest.param(b"HTTP/1.1 100 Go on\r\n\r\n" * 9, UNAVAILABLE, id="informational only"),
        pytest.param(OK + b"A: " + b"x" * 200_000, UNAVAILABLE, id="endless header"),
        pytest.param(OK + b"A\x00: b\r\n\r\n", UNAVAILABLE, id="control character"),
        pytest.param(OK + b"Content-Length: x\r\n\r\n", UNAVAILABLE, id="length in words"),
        pytest.param(OK + b"Content-Length: 9\r\n\r\n{", UNAVAILABLE, id="cut short"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", UNAVAILABLE, id="invalid chunk"
        ),
        pytest.param(OK + b"Content-Length: 0\r\n\r\n", INVALID, id="empty body"),
        pytest.param(OK + b"Content-Length: 2\r\n\r\n{}", INVALID, id="empty object"),
        pytest.param(b"HTTP/1.0 204 No\r\n\r\n", INVALID, id="no content"),
        pytest.param(b"HTTP/1.1 101 Up\r\nUpgrade: x\r\n\r\n", UNAVAILABLE, id="other protocol"),
    ],
)
async def test_malformed_reply_is_an_exchange_error(
    certificates: Path, make_client: MakeClient, reply: bytes, failure: ExchangeFailure
) -> None:
    async with serving(replying(reply), certificates) as url:
        with pytest.raises(ExchangeError) as caught:
            await make_client(token_url=url).issue(CREDENTIALS)
    assert caught.value.failure is failure


async def test_plain_http_on_the_https_port_is_explained(make_client: MakeClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(serve, None) as url:
        with pytest.raises(ExchangeError, match="the TLS handshake with the token endpoint failed"):
            await make_client(token_url=url).issue(CREDENTIALS)


async def test_damaged_tls_record_is_an_exchange_error(
    certificates: Path, make_client: MakeClient
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        # Past the encryption: a record of application data whose content nobody encrypted.
        os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
        await asyncio.sleep(0.05)

    async with serving(serve, certificates) as url:
        with pytest.raises(ExchangeError) as caught:
            await make_client(token_url=url).issue(CREDENTIALS)
    assert caught.value.failure is UNAVAILABLE
