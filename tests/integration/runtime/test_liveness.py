"""/livez fails when a watch is stuck or the queue makes no progress, and for nothing else."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest

from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.controller.workers import STUCK_AFTER
from pinecone_token_operator.env import Env
from pinecone_token_operator.issuing.oauth_client import TokenClient
from pinecone_token_operator.kube import client as operator_kube
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.reconcilers.gather import Audience
from pinecone_token_operator.runtime import probes
from pinecone_token_operator.runtime.assembly import assemble
from pinecone_token_operator.runtime.liveness import STALE_AFTER, Liveness
from pinecone_token_operator.telemetry.metrics import Metrics
from pinecone_token_operator.watch.resources import ResourceWatch
from tests.support.api import Kube
from tests.support.api_proxy import ApiProxy, Line
from tests.support.cluster import Cluster
from tests.support.documented import GROUP, KIND, PLURAL, VERSION
from tests.support.token_endpoint import TokenEndpoint


class Living:
    """All that liveness is about, with a clock that the test sets and a connection that stalls."""

    def __init__(
        self, api: operator_kube.Api, line: Line, tokens: TokenClient, namespace: str
    ) -> None:
        self.seconds = 0.0
        self.line = line
        env = Env(now=now, monotonic=self._clock, rng=random.Random(1))
        loop = assemble(
            api=api,
            writable=api,
            endpoint=tokens,
            record=lambda *_: None,
            audience=Audience("audience", "url"),
            namespaces=[namespace],
            shard=Shard(),
            keep_tokens=timedelta(),
            metrics=Metrics(),
            env=env,
        )
        self.workers, self.controller = loop.workers, loop.controller
        (self.secrets,) = loop.reflectors.values()
        self.resources = ResourceWatch(
            api,
            ApiResource(GROUP, VERSION, PLURAL),
            (namespace,),
            feed=partial(self.controller.resource_event, KIND),
            missed=self.controller.relist,
            monotonic=self._clock,
            rng=env.rng,
        )
        liveness = Liveness([self.resources, self.secrets], self.workers.problems, self._clock)
        self.problems = liveness.problems

    def _clock(self) -> float:
        return self.seconds


@pytest.fixture
async def living(
    cluster: Cluster, endpoint: TokenEndpoint, namespace: str, proxy: ApiProxy
) -> AsyncIterator[Living]:
    path = proxy.kubeconfig("operator", cluster.token)
    source = Endpoint(endpoint.url, "audience", "2025-04", endpoint.ca_bundle)
    tokens = TokenClient(source, 1, now)
    async with aclosing(await operator_kube.connect(path, None)) as api, aclosing(tokens):
        yield Living(api, proxy.lines["operator"], tokens, namespace)


async def test_livez_fails_when_a_watch_is_stuck(living: Living) -> None:
    runner = await probes.serve(
        "127.0.0.1", 0, live=living.problems, ready=list, metrics=lambda _: b""
    )
    host, port = runner.addresses[0]
    watching = [asyncio.create_task(watch.run()) for watch in (living.resources, living.secrets)]
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:

        async def livez() -> tuple[int, str]:
            answer = await client.get("/livez")
            return answer.status_code, answer.text

        await asyncio.wait_for(living.secrets.synced.wait(), 15)
        assert await livez() == (200, "ok\n")
        for watch in watching:  # a watch that ended is stuck forever
            watch.cancel()
        await asyncio.wait(watching)
        living.seconds += STALE_AFTER.total_seconds()
        assert await livez() == (200, "ok\n")
        living.seconds += 1
        assert await livez() == (503, "2 of 2 watches are silent\n")
    await runner.cleanup()


async def test_livez_fails_until_a_stuck_queue_makes_progress(
    kube: Kube, living: Living, namespace: str
) -> None:
    kube.create_credentials(namespace)
    kube.create_token(namespace)
    await living.controller.list_all()
    living.line.stalled = True
    working = asyncio.create_task(living.controller.run(1))
    try:
        await asyncio.sleep(0)
        assert living.workers.problems() == []
        living.seconds += STUCK_AFTER.total_seconds() + 1
        assert living.workers.problems() == ["the work queue of 1 resources is not making progress"]
        living.line.stalled = False
        async with asyncio.timeout(15):
            while living.workers.problems():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)
        # An empty queue is not stuck.
        living.seconds += STUCK_AFTER.total_seconds() + 1
        assert living.workers.problems() == []
    finally:
        working.cancel()
        await asyncio.wait({working})


def now() -> datetime:
    return datetime.now(UTC)
