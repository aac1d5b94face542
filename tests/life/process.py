"""The operator as one process, put together as in `app`, but for kopf, HTTP and leader election."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.controller.controller import Controller
from pinecone_token_operator.controller.index import Index, Key
from pinecone_token_operator.controller.workers import Workers
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.policies.observed import Observed
from pinecone_token_operator.reconcilers.access_token import Reconciler
from pinecone_token_operator.reconcilers.events import News
from pinecone_token_operator.reconcilers.exchange import Exchange
from pinecone_token_operator.reconcilers.gather import Observer
from pinecone_token_operator.reconcilers.state import Memory
from pinecone_token_operator.targets.target import StoredToken
from pinecone_token_operator.telemetry.metrics import Metrics
from pinecone_token_operator.watch.secrets_metadata import SecretReflector
from tests.life.endpoint import Endpoint
from tests.life.link import Link
from tests.life.small_api import NAMESPACE, Change

RESYNC: Final = timedelta(minutes=10)
AUDIENCE: Final = "audience"
TOKEN_URL: Final = "https://token-endpoint/"
_WORKERS: Final = 3

exchanging_for: ContextVar[PineconeAccessToken] = ContextVar("exchanging_for")
"""Whose exchange it is that the endpoint is asked for."""


class Process:
    """One life of the operator; what it remembers ends with it.

    Args:
        link: the API server.
        endpoint: the token endpoint.
        now: the clock.
        monotonic: seconds of the same clock.
        news: told each piece of news.
        rng: spreads load.

    Attributes:
        settled: the UIDs of the resources whose latest look went well.
    """

    def __init__(
        self,
        link: Link,
        endpoint: Endpoint,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        news: Callable[[News], None],
        rng: random.Random,
    ) -> None:
        self.settled: set[str] = set()
        index, metrics = Index(), Metrics()
        self._watch = SecretReflector(
            link,
            NAMESPACE,
            is_wanted=index.is_wanted,
            changed=self._secret_changed,
            monotonic=monotonic,
            rng=rng,
        )
        observer = Observer(link, lambda _: self._watch, index, rng, AUDIENCE, TOKEN_URL)
        reconciler = _Reconciler(
            self.settled,
            link,
            observer,
            _Exchange(endpoint, metrics, now, rng),
            index,
            metrics,
            lambda _, told: news(told),
            self._list_again,
            now,
            rng,
        )
        self._workers = Workers(index, reconciler, metrics, now, monotonic, rng)
        self._controller = Controller(
            link,
            [NAMESPACE],
            Shard(),
            index,
            reconciler,
            self._workers,
            self._watch.forget,
            monotonic,
            rng,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            with contextlib.suppress(ApiError):
                await self._controller.list_all()
                break
            await asyncio.sleep(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run())
            group.create_task(self._controller.resync(RESYNC))
            await self._watch.synced.wait()
            await self._controller.run(_WORKERS)

    def resource_event(self, change: Change) -> None:
        """Take a change of a resource, as from kopf."""
        if self._controller.is_news(change.type, change.object):
            self._controller.resource_event(change.type, change.object)

    def problems(self) -> list[str]:
        return self._workers.problems()

    def _list_again(self) -> None:
        self._controller.list_again()

    def _secret_changed(self, secret: Key) -> None:
        self._controller.secret_changed(secret)


class _Reconciler(Reconciler):
    """Tells which resources' latest looks went well."""

    def __init__(self, settled: set[str], api: Link, *collaborators: Any) -> None:
        super().__init__(api, *collaborators)
        self._settled = settled
        self._resources: Index = collaborators[2]

    async def reconcile(self, key: Key) -> datetime | None:
        resource = self._resources.get(key)
        uid = resource.metadata.uid if resource else ""
        self._settled.discard(uid)
        moment = await super().reconcile(key)
        self._settled.add(uid)
        return moment


class _Exchange(Exchange):
    """Tells the endpoint for whom it is asked."""

    async def fetch(
        self, observed: Observed, credentials: Credentials, memory: Memory
    ) -> StoredToken | None:
        exchanging_for.set(observed.resource)
        return await super().fetch(observed, credentials, memory)
