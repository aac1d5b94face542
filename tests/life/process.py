"""The operator's process, assembled as in production except for kopf, HTTP and leader election.

It is the one module of the simulations that imports the operator: a change of the operator's own
interfaces ends here.
"""

import asyncio
import contextlib
import random
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Hashable,
    Iterator,
    Sequence,
)
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Final, Unpack

from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.controller.controller import Controller
from pinecone_token_operator.controller.index import Index, Key
from pinecone_token_operator.controller.workers import Workers
from pinecone_token_operator.errors import ApiError, ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import AccessToken, parse_response
from pinecone_token_operator.kube.interfaces import RequestOptions
from pinecone_token_operator.policies.observed import Observed
from pinecone_token_operator.reconcilers.access_token import Reconciler
from pinecone_token_operator.reconcilers.exchange import Exchange
from pinecone_token_operator.reconcilers.gather import Observer
from pinecone_token_operator.reconcilers.state import Memory
from pinecone_token_operator.targets.target import StoredToken
from pinecone_token_operator.telemetry.metrics import Metrics
from pinecone_token_operator.watch.secrets_metadata import SecretReflector
from tests.life.connection import Connection
from tests.life.endpoint import Asker, Endpoint, NoConnectionError
from tests.life.small_api import Change, RefusedError

LOGGER: Final = "pinecone_token_operator"
RESYNC: Final = timedelta(minutes=10)
_AUDIENCE: Final = "audience"
_TOKEN_URL: Final = "https://token-endpoint/"
_WORKERS: Final = 3

_asker: ContextVar[Asker] = ContextVar("asker")
"""The resource that the current task exchanges credentials for."""


class Process:
    """One process of the operator; what it remembers is lost with it.

    Args:
        connection: to the API server.
        endpoint: the token endpoint.
        namespaces: those that it serves.
        now: the clock.
        monotonic: seconds of the same clock.
        record: called with the message of each Event.
        rng: spreads load.

    Attributes:
        settled: the UIDs of the resources whose latest reconcile succeeded.
    """

    def __init__(
        self,
        connection: Connection,
        endpoint: Endpoint,
        namespaces: Sequence[str],
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        record: Callable[[str], None],
        rng: random.Random,
    ) -> None:
        self.settled: set[str] = set()
        api = _Api(connection)
        index, metrics = Index(), Metrics()
        self._watches = {
            namespace: SecretReflector(
                api,
                namespace,
                is_wanted=index.is_wanted,
                changed=self._secret_changed,
                monotonic=monotonic,
                rng=rng,
            )
            for namespace in namespaces
        }
        observer = Observer(api, self._watches.__getitem__, index, rng, _AUDIENCE, _TOKEN_URL)
        reconciler = _Reconciler(
            self.settled,
            api,
            observer,
            _Exchange(_TokenEndpoint(endpoint, now), metrics, now, rng),
            index,
            metrics,
            lambda _, news: record(news.message),
            self._list_again,
            now,
            rng,
        )
        self._workers = Workers(index, reconciler, metrics, now, monotonic, rng)
        self._controller = Controller(
            api,
            list(namespaces),
            Shard(),
            index,
            reconciler,
            self._workers,
            self._forget_secret,
            monotonic,
            rng,
        )

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            with contextlib.suppress(ApiError):
                await self._controller.list_all()
                break
            await asyncio.sleep(1)
        async with asyncio.TaskGroup() as group:
            for watch in self._watches.values():
                group.create_task(watch.run())
            group.create_task(self._controller.resync(RESYNC))
            for watch in self._watches.values():
                await watch.synced.wait()
            await self._controller.run(_WORKERS)

    def resource_event(self, change: Change) -> None:
        """Take a watch event of a resource, as from kopf."""
        if self._controller.is_news(change.type, change.object):
            self._controller.resource_event(change.type, change.object)

    def problems(self) -> list[str]:
        """Return what makes no progress."""
        return self._workers.problems()

    def _list_again(self) -> None:
        self._controller.list_again()

    def _secret_changed(self, secret: Key, _seen_by: Collection[Hashable]) -> None:
        self._controller.secret_changed(secret)

    def _forget_secret(self, secret: Key) -> None:
        self._watches[secret[0]].forget(secret)


class _Api:
    """The operator's client of the API server, on a simulated connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def request(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> dict[str, Any]:
        body = options.get("body")
        if method == "PATCH":
            kind = "json" if isinstance(body, list) else "merge"
            assert options.get("content_type") == f"application/{kind}-patch+json"
        with _refusals():
            if ("limit", "1") in options.get("query", ()):
                return await anext(self._connection.pages(path, None, metadata_only=True))
            return await self._connection.request(method, path, body)

    async def pages(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        accept: str = "",
        received: Callable[[], object] = lambda: None,
    ) -> AsyncIterator[dict[str, Any]]:
        label = dict(query).get("labelSelector")
        metadata_only = "as=PartialObjectMetadataList" in accept
        with _refusals():
            async for page in self._connection.pages(path, label, metadata_only=metadata_only):
                received()
                yield page

    async def watch(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]],
        received: Callable[[], object] = lambda: None,
        **_: object,
    ) -> AsyncGenerator[dict[str, Any], None]:
        received()
        events = self._connection.watch(path, int(dict(query)["resourceVersion"]))
        async with contextlib.aclosing(events):
            with _refusals():
                async for event in events:
                    yield event


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except RefusedError as error:
        raise ApiError(error.status, error.reason, error.message) from None


class _TokenEndpoint:
    """The operator's client of the token endpoint, without a network."""

    def __init__(self, endpoint: Endpoint, now: Callable[[], datetime]) -> None:
        self._endpoint = endpoint
        self._now = now

    async def exchange(self, credentials: Credentials) -> AccessToken:
        account = credentials.client_id, credentials.client_secret
        try:
            reply = self._endpoint.exchange(_asker.get(), account)
        except NoConnectionError:
            raise ExchangeError(ExchangeFailure.UNAVAILABLE, "no connection") from None
        return parse_response(reply.status, reply.headers, reply.body, self._now())


class _Reconciler(Reconciler):
    """Notes which resources' latest reconciles succeeded."""

    def __init__(self, settled: set[str], api: _Api, *collaborators: Any) -> None:
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
    """Notes which resource an exchange is for."""

    async def fetch(
        self, observed: Observed, credentials: Credentials, memory: Memory
    ) -> StoredToken | None:
        metadata = observed.resource.metadata
        _asker.set(Asker(metadata.namespace, metadata.name, metadata.uid))
        return await super().fetch(observed, credentials, memory)
