from collections.abc import AsyncIterator

import httpx
import pytest

from pinecone_token_operator.runtime import probes


class Process:
    """What the probes ask, and what they answer."""

    def __init__(self) -> None:
        self.stuck: list[str] = []
        self.missing: list[str] = []
        self.notes: list[str] = []
        self.client: httpx.AsyncClient

    async def get(self, path: str) -> tuple[int, str]:
        reply = await self.client.get(path)
        return reply.status_code, reply.text


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = Process()
    runner = await probes.serve(
        "127.0.0.1",
        0,
        live=lambda: process.stuck,
        ready=lambda: process.missing,
        metrics=lambda names: ",".join(names).encode(),
        notes=lambda: process.notes,
    )
    host, port = runner.addresses[0]
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as client:
        process.client = client
        yield process
    await runner.cleanup()


async def test_probes_answer_ok_when_nothing_is_wrong(process: Process) -> None:
    assert await process.get("/livez") == (200, "ok\n")
    assert await process.get("/readyz") == (200, "ok\n")


async def test_livez_names_what_makes_no_progress(process: Process) -> None:
    process.stuck = ["one", "two"]
    assert await process.get("/livez") == (503, "one\ntwo\n")
    assert await process.get("/readyz") == (200, "ok\n")


async def test_readyz_names_what_is_missing(process: Process) -> None:
    process.missing = ["one"]
    assert await process.get("/readyz") == (503, "one\n")
    assert await process.get("/livez") == (200, "ok\n")


async def test_readyz_mentions_notes_when_ready(process: Process) -> None:
    process.notes = ["namespace team-b: failed to watch secrets (403 Forbidden)"]
    assert await process.get("/readyz") == (200, f"ok\n{process.notes[0]}\n")


async def test_metrics_are_limited_to_the_requested_names(process: Process) -> None:
    assert await process.get("/metrics?name[]=a&name[]=b") == (200, "a,b")


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_empty_host_listens_on_both_families(address: str) -> None:
    runner = await probes.serve("", 0, live=list, ready=list, metrics=lambda _: b"")
    try:
        port = runner.addresses[0][1]
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://{address}:{port}/livez")).status_code == 200
    finally:
        await runner.cleanup()


async def test_empty_host_reports_a_port_in_use() -> None:
    one = await probes.serve("", 0, live=list, ready=list, metrics=lambda _: b"")
    try:
        with pytest.raises(OSError, match="in use"):
            await probes.serve(
                "", one.addresses[0][1], live=list, ready=list, metrics=lambda _: b""
            )
    finally:
        await one.cleanup()
