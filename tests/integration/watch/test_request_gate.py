"""The middleware around kopf's requests, against a small server of lists and watches."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.watch.health import Namespace
from pinecone_token_operator.watch.request_gate import ESTABLISHED, FLOOD, RequestGate
from tests.support.loop_thread import close_server
from tests.support.watching import DEADLINE, until

RESOURCE = ApiResource("example.dev", "v1", "tokens")
GOOD, BAD = RESOURCE.collection("good"), RESOURCE.collection("bad")
NOW = "100"
BEFORE = "50"

Failure = tuple[Namespace, ApiError]
Answer = Callable[[web.BaseRequest], web.Response | None]


class World:
    """A server, the gate in front of it, and what the gate reports.

    Attributes:
        answer: answers requests for the bad namespace; None means as usual.
        asked: what was asked: the namespace, and the version of a watch.
        latest: the version that lists have.
    """

    def __init__(self) -> None:
        self.answer: Answer = lambda _: None
        self.asked: list[tuple[str, str | None]] = []
        self.latest = NOW
        self.listed: list[Namespace] = []
        self.established: list[Namespace] = []
        self.failures: list[Failure] = []
        self.url = ""
        self.gate = RequestGate(
            RESOURCE,
            ("good", "bad"),
            listed=self.listed.append,
            established=self.established.append,
            failed=lambda *failure: self.failures.append(failure),
            progress=lambda: None,
            is_relevant=lambda event_type, _: event_type != "MODIFIED",
            monotonic=time.monotonic,
            rng=random.Random(1),
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        namespace = request.path.split("/")[5]
        if "limit" not in request.query:
            self.asked.append((namespace, request.query.get("resourceVersion")))
        if namespace == "bad" and (answer := self.answer(request)):
            return answer
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": self.latest}, "items": []})
        return web.Response(text='{"type":"ADDED","object":{}}\n', content_type="application/json")

    async def list(self, path: str) -> str:
        assert self.gate.session
        async with asyncio.timeout(DEADLINE), self.gate.session.get(self.url + path) as response:
            version: str = (await response.json())["metadata"]["resourceVersion"]
            return version

    async def watch(self, path: str, version: str = NOW) -> bytes:
        assert self.gate.session
        params = {"watch": "true", "resourceVersion": version}
        async with (
            asyncio.timeout(DEADLINE),
            self.gate.session.get(self.url + path, params=params) as response,
        ):
            return b"".join([data async for data in response.content.iter_chunked(1000)])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    server = web.Server(world.handle)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    world.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with aiohttp.ClientSession(middlewares=(world.gate.send,), trust_env=False) as session:
        world.gate.session = session
        yield world
    await close_server(listener)
    await server.shutdown(timeout=1)


async def test_gate_reports_lists_and_lasting_watches(world: World) -> None:
    assert await world.list(GOOD) == NOW
    assert world.listed == ["good"]
    assert await world.watch(GOOD) == b'{"type":"ADDED","object":{}}\n'
    assert world.established == []
    await asyncio.sleep(ESTABLISHED.total_seconds() * 1.2)
    assert world.established == ["good"]
    assert world.failures == []


async def test_gate_passes_only_relevant_events_on(world: World) -> None:
    events = [
        {"type": event_type, "object": {"metadata": {"resourceVersion": version}}}
        for event_type, version in (("ADDED", "101"), ("MODIFIED", "102"))
    ]
    lines = "".join(json.dumps(event) + "\n" for event in events)
    world.answer = lambda request: web.Response(text=lines) if "watch" in request.query else None
    passed = [json.loads(line) for line in (await world.watch(BAD)).splitlines()]
    assert passed[0] == events[0]
    assert [event["type"] for event in passed[1:]] == ["BOOKMARK"]
    assert passed[1]["object"]["metadata"]["resourceVersion"] == "102"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(lambda: web.Response(status=403), id="403"),
        pytest.param(lambda: web.Response(status=404), id="404"),
        pytest.param(lambda: web.Response(status=503), id="503"),
        pytest.param(lambda: web.Response(text="<html>"), id="a login page"),
        pytest.param(lambda: web.json_response({"error": "no"}), id="JSON of a proxy"),
    ],
)
async def test_gate_retries_one_namespace_and_serves_the_others(
    world: World, reply: Callable[[], web.Response]
) -> None:
    world.answer = lambda _: reply()
    async with asyncio.TaskGroup() as group:
        listing = group.create_task(world.list(BAD))
        await until(lambda: world.failures, lambda: "no failure")
        assert await world.list(GOOD) == NOW
        await world.watch(GOOD)
        assert not listing.done()
        world.answer = lambda _: None
    assert listing.result() == NOW
    assert {namespace for namespace, _ in world.failures} == {"bad"}
    assert world.listed == ["good", "bad"]


async def test_gate_restarts_a_watch_whose_version_has_expired(world: World) -> None:
    def expired(request: web.BaseRequest) -> web.Response | None:
        old = request.query.get("resourceVersion") == "7"
        return web.json_response({"kind": "Status", "code": 410}, status=410) if old else None

    world.answer = expired
    await world.watch(BAD, "7")
    assert world.asked == [("bad", "7"), ("bad", NOW)]
    assert world.listed == ["bad"]
    assert world.failures == []


async def test_gate_restarts_a_watch_whose_version_is_of_the_future(world: World) -> None:
    await world.watch(BAD, "1000")
    assert world.asked == [("bad", NOW)]
    assert world.listed == ["bad"]


async def test_gate_notices_a_store_restored_right_after_a_list(world: World) -> None:
    await world.list(BAD)
    await world.watch(BAD)
    world.latest = BEFORE
    await world.watch(BAD)
    assert world.asked == [("bad", None), ("bad", NOW), ("bad", BEFORE)]
    assert world.listed == ["bad", "bad"]


async def test_gate_relists_a_namespace_that_recovers(world: World) -> None:
    """Whoever lists there may have failed too."""
    world.answer = lambda request: web.Response(status=403) if "watch" in request.query else None
    async with asyncio.TaskGroup() as group:
        group.create_task(world.watch(BAD))
        await until(lambda: world.failures, lambda: "no failure")
        world.answer = lambda _: None
    await until(lambda: world.established == ["bad"], lambda: world.established)
    assert world.listed == ["bad"]


async def test_gate_reports_a_watch_that_carries_an_error(world: World) -> None:
    error = '{"type":"ERROR","object":{"code":500,"reason":"InternalError"}}\n'
    world.answer = lambda request: web.Response(text=error) if "watch" in request.query else None
    assert await world.watch(BAD) == b""
    [(namespace, failure)] = world.failures
    assert (namespace, failure.brief) == ("bad", "500 InternalError")
    world.answer = lambda _: None
    started = time.monotonic()
    await world.watch(BAD)
    assert time.monotonic() - started > 0.4  # the first backoff is at least half a second
    await until(lambda: world.established == ["bad"], lambda: world.established)


async def test_gate_slows_down_watches_that_close_at_once(world: World) -> None:
    started = time.monotonic()
    for _ in range(FLOOD + 2):
        await world.watch(GOOD)
    assert 2 <= time.monotonic() - started < 5


async def test_gate_passes_other_requests_through(world: World) -> None:
    session = world.gate.session
    assert session
    with contextlib.suppress(aiohttp.ClientError):
        async with session.get(f"{world.url}/apis/example.dev/v1/namespaces/other/x") as response:
            assert response.status == 200
    assert world.listed == []
