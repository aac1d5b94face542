"""/livez fails when a watch is stuck or the queue does not move, and for nothing else."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

import httpx
import pytest

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION
from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.controller.controller import Controller
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.controller.workers import STUCK_AFTER, Workers
from pinecone_token_operator.issuing.oauth_client import TokenClient
from pinecone_token_operator.kube import client as operator_kube
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.reconcilers.access_token import Reconciler
from pinecone_token_operator.reconcilers.exchange import Exchange
from pinecone_token_operator.reconcilers.gather import Observer
from pinecone_token_operator.runtime import probes
from pinecone_token_operator.runtime.liveness import STALE_AFTER, Liveness
from pinecone_token_operator.telemetry.metrics import Metrics
from pinecone_token_operator.watch.resources import ResourceWatch
from pinecone_token_operator.watch.secrets_metadata import SecretReflector
from tests.support.api import Kube
from tests.support.api_proxy import ApiProxy, Line
from tests.support.cluster import Cluster
from tests.support.token_endpoint import TokenEndpoint


class Living:
    """All that liveness is about, by a clock in the test's hands, behind a line that can stall."""

    def __init__(
        self, api: operator_kube.Api, line: Line, tokens: TokenClient, namespace: str
    ) -> None:
        self.seconds = 0.0
        self.line = line
        rng, metrics, index = random.Random(1), Metrics(), Index()
        self.secrets = SecretReflector(
            api,
            namespace,
            is_wanted=index.is_wanted,
            changed=self._changed,
            monotonic=self._clock,
            rng=rng,
        )
        observer = Observer(api, lambda _: self.secrets, index, rng, "audience", "url")
        exchange = Exchange(tokens, metrics, now, rng)
        reconciler = Reconciler(
            api, observer, exchange, index, metrics, lambda *_: None, lambda: None, now, rng
        )
        self.workers = Workers(index, reconciler, metrics, now, self._clock, rng)
        self.controller = Controller(
            api,
            [namespace],
            Shard(),
            index,
            reconciler,
            self.workers,
            self.secrets.forget,
            self._clock,
            rng,
        )
        self.resources = ResourceWatch(
            api,
            ApiResource(GROUP, VERSION, PLURAL),
            (namespace,),
            feed=self.controller.resource_event,
            missed=lambda _: self.controller.list_again(),
            monotonic=self._clock,
            rng=rng,
        )
        liveness = Liveness([self.resources, self.secrets], self.workers.problems, self._clock)
        self.problems = liveness.problems

    def _clock(self) -> float:
        return self.seconds

    def _changed(self, secret: tuple[str, str], _: object) -> None:
        self.controller.secret_changed(secret)


@pytest.fixture
async def living(
    cluster: Cluster, endpoint: TokenEndpoint, namespace: str, proxy: ApiProxy
) -> AsyncIterator[Living]:
    path = proxy.kubeconfig("operator", cluster.token)
    place = Endpoint(endpoint.url, "audience", "2025-04", endpoint.ca_bundle)
    tokens = TokenClient(place, 1, now)
    async with aclosing(await operator_kube.connect(path, None)) as api, aclosing(tokens):
        yield Living(api, proxy.lines["operator"], tokens, namespace)


async def test_a_watch_that_is_stuck_fails_livez(living: Living) -> None:
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
        for watch in watching:  # a watch that ended is stuck for ever
            watch.cancel()
        await asyncio.wait(watching)
        living.seconds += STALE_AFTER.total_seconds()
        assert await livez() == (200, "ok\n")
        living.seconds += 1
        assert await livez() == (503, "2 of 2 watches are silent\n")
    await runner.cleanup()


async def test_a_queue_that_does_not_move_is_told_until_it_does(
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
        assert living.workers.problems() == ["the queue of 1 resources does not move"]
        living.line.stalled = False
        async with asyncio.timeout(15):
            while living.workers.problems():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)
        # And nothing to do is no standstill.
        living.seconds += STUCK_AFTER.total_seconds() + 1
        assert living.workers.problems() == []
    finally:
        working.cancel()
        await asyncio.wait({working})


def now() -> datetime:
    return datetime.now(UTC)
