import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.watch.event_stream import EventStream, Predicate

ADDED = b'{"type":"ADDED","object":{}}\n'
GONE = b'{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}}\n'
FAILED = b'{"type":"ERROR","object":{"code":500,"reason":"InternalError","message":"no"}}\n'


async def read(
    chunks: Sequence[bytes], is_relevant: Predicate = lambda _type, _obj: True
) -> tuple[bytes, list[ApiError], int]:
    """Return what is passed on, the errors, and how often something arrived."""
    loop = asyncio.get_running_loop()
    content = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    errors: list[ApiError] = []
    arrivals: list[None] = []
    stream = EventStream(
        content,
        progress=lambda: arrivals.append(None),
        failed=errors.append,
        is_relevant=is_relevant,
    )
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
        pytest.param([b"\n" + ADDED], ADDED, id="an empty line"),
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
        pytest.param(b'{"type":"ADDED","object"\n', "200 InvalidReply", id="half an event"),
    ],
)
async def test_stream_ends_before_a_line_that_would_end_kopf(line: bytes, brief: str) -> None:
    passed, [error], _ = await read([ADDED + line + ADDED])
    assert passed == ADDED
    assert error.brief == brief


def line(version: int, name: str, event_type: str = "MODIFIED") -> bytes:
    obj = {
        "apiVersion": "example.com/v1",
        "kind": "Example",
        "metadata": {"name": name, "uid": name, "resourceVersion": str(version)},
        "spec": {"size": 3},
    }
    return json.dumps({"type": event_type, "object": obj}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    obj = {
        "apiVersion": "example.com/v1",
        "kind": "Example",
        "metadata": {"resourceVersion": str(version)},
    }
    return json.dumps({"type": "BOOKMARK", "object": obj}).encode() + b"\n"


def is_mine(_: object, obj: Mapping[str, Any]) -> bool:
    return bool(obj["metadata"]["name"] == "mine")


@pytest.mark.parametrize(
    ("chunks", "passed"),
    [
        pytest.param([line(1, "mine")], line(1, "mine"), id="a relevant event"),
        pytest.param([line(1, "other")], bookmark(1), id="another event"),
        pytest.param([line(1, "other") + line(2, "other")], bookmark(2), id="two others"),
        pytest.param([line(1, "other") + line(2, "mine")], line(2, "mine"), id="one before"),
        pytest.param(
            [line(1, "mine") + line(2, "other")], line(1, "mine") + bookmark(2), id="one after"
        ),
        pytest.param(
            [line(1, "other", "DELETED") + line(2, "other", "ADDED")],
            bookmark(2),
            id="any type",
        ),
        pytest.param([bookmark(7)], bookmark(7), id="the server's bookmark"),
    ],
)
async def test_stream_replaces_irrelevant_events_by_a_bookmark(
    chunks: list[bytes], passed: bytes
) -> None:
    assert await read(chunks, is_mine) == (passed, [], len(chunks))


async def test_stream_passes_the_version_on_before_it_ends() -> None:
    passed, [error], _ = await read([line(1, "other") + FAILED], is_mine)
    assert passed == bookmark(1)
    assert error.brief == "500 InternalError"


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param({"metadata": {"name": "other"}}, id="no version"),
        pytest.param({"metadata": None}, id="no metadata"),
        pytest.param("other", id="no object"),
        pytest.param({"metadata": {"resourceVersion": "1"}}, id="the predicate fails"),
    ],
)
async def test_stream_passes_on_an_event_that_it_cannot_judge(obj: object) -> None:
    event = json.dumps({"type": "ADDED", "object": obj}).encode() + b"\n"
    assert await read([event], is_mine) == (event, [], 1)
