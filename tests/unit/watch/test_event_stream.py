import asyncio
from collections.abc import Sequence

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.watch.event_stream import EventStream

ADDED = b'{"type":"ADDED","object":{}}\n'
GONE = b'{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}}\n'
FAILED = b'{"type":"ERROR","object":{"code":500,"reason":"InternalError","message":"no"}}\n'


async def read(chunks: Sequence[bytes]) -> tuple[bytes, list[ApiError], int]:
    """Return what is passed on, the errors, and how often something arrived."""
    loop = asyncio.get_running_loop()
    content = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    errors: list[ApiError] = []
    arrivals: list[None] = []
    stream = EventStream(content, progress=lambda: arrivals.append(None), failed=errors.append)
    passed = b""
    lines = stream.iter_chunked(2**20)
    for chunk in chunks:
        content.feed_data(chunk)
        await asyncio.sleep(0)
    content.feed_eof()
    async for data in lines:
        passed += data
    return passed, errors, len(arrivals)


@pytest.mark.parametrize(
    ("chunks", "passed"),
    [
        pytest.param([ADDED, ADDED], ADDED * 2, id="whole events"),
        pytest.param([ADDED[:9], ADDED[9:] + ADDED[:5], ADDED[5:]], ADDED * 2, id="pieces"),
        pytest.param([ADDED + ADDED[:9]], ADDED, id="an event that is cut off"),
        pytest.param([b"\n" + ADDED], b"\n" + ADDED, id="an empty line"),
        pytest.param([ADDED + GONE], ADDED + GONE, id="an expired version"),
        pytest.param([b'{ "type": "ADDED" }\n'], b'{ "type": "ADDED" }\n', id="spaces"),
        pytest.param([], b"", id="nothing"),
    ],
)
async def test_stream_passes_whole_events_on(chunks: list[bytes], passed: bytes) -> None:
    assert await read(chunks) == (passed, [], 1 if chunks else 0)


@pytest.mark.parametrize(
    ("line", "brief"),
    [
        pytest.param(FAILED, "500 InternalError", id="an ERROR event"),
        pytest.param(b'{"type":"ERROR","object":"no"}\n', "200 InvalidReply", id="a bad ERROR"),
        pytest.param(b'{"type":"ERROR"\n', "200 InvalidReply", id="half an ERROR"),
        pytest.param(b"<html>\n", "200 InvalidReply", id="a page"),
        pytest.param(b"[]\n", "200 InvalidReply", id="a list"),
    ],
)
async def test_stream_ends_before_a_line_that_would_end_kopf(line: bytes, brief: str) -> None:
    passed, [error], _ = await read([ADDED + line + ADDED])
    assert passed == ADDED
    assert error.brief == brief
