"""One look at one resource, at moments that are hard to hit from outside the process."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack

import pytest

from pinecone_token_operator.api.access_token import parse_resource
from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.issuing.oauth_client import TokenClient
from pinecone_token_operator.kube import client as operator_kube
from pinecone_token_operator.kube.interfaces import RequestOptions
from pinecone_token_operator.reconcilers.access_token import Reconciler
from pinecone_token_operator.reconcilers.exchange import Exchange
from pinecone_token_operator.reconcilers.gather import Observer
from pinecone_token_operator.telemetry.metrics import Metrics
from pinecone_token_operator.watch.secrets_metadata import SecretReflector
from tests.support.api import Kube, secret_path, token_path
from tests.support.cluster import Cluster
from tests.support.token_endpoint import TokenEndpoint


class BadLine:
    """The real API server, over a line that may lose replies, or be slow.

    Attributes:
        losing: whether the reply to each write of a Secret is lost.
        slowness: how much time passes, by the clock of `now`, at each write of a status.
    """

    def __init__(self, api: operator_kube.Api) -> None:
        self._api = api
        self.losing = False
        self.slowness = timedelta()
        self._passed = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._passed

    async def request(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> dict[str, Any]:
        answer = await self._api.request(method, path, **options)
        if self.losing and method != "GET" and "/secrets" in path:
            raise ApiError(0, "ConnectionFailed", "The connection broke")
        if path.endswith("/status"):
            self._passed += self.slowness
        return answer


class Looks:
    """A reconciler that is told of nothing, so that each look is the test's to ask for."""

    def __init__(
        self, api: operator_kube.Api, tokens: TokenClient, namespace: str, token_url: str
    ) -> None:
        self.api = BadLine(api)
        self.index = Index()
        rng, metrics = random.Random(1), Metrics()
        self.watch = SecretReflector(
            api,
            namespace,
            is_wanted=self.index.is_wanted,
            changed=lambda _key, _seen_by: None,
            monotonic=lambda: 0.0,
            rng=rng,
        )
        observer = Observer(self.api, lambda _: self.watch, self.index, rng, "audience", token_url)
        exchange = Exchange(tokens, metrics, self.api.now, rng)
        self._reconciler = Reconciler(
            self.api,
            observer,
            exchange,
            self.index,
            metrics,
            lambda *_: None,
            lambda: None,
            self.api.now,
            rng,
        )

    def put(self, resource: dict[str, Any]) -> None:
        self.index.put(parse_resource(resource))

    async def look(self, key: tuple[str, str]) -> datetime | None:
        return await self._reconciler.reconcile(key)


@pytest.fixture
async def looks(cluster: Cluster, endpoint: TokenEndpoint, namespace: str) -> AsyncIterator[Looks]:
    api = await operator_kube.connect(cluster.kubeconfig, None)
    place = Endpoint(endpoint.url, "audience", "2025-04", endpoint.ca_bundle)
    tokens = TokenClient(place, 1, now)
    try:
        yield Looks(api, tokens, namespace, endpoint.url)
    finally:
        await tokens.aclose()
        await api.aclose()


@pytest.mark.parametrize("exists", ["a new target", "an older target"])
async def test_a_write_whose_reply_was_lost_costs_nothing_and_blocks_nothing(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, looks: Looks, exists: str
) -> None:
    key = namespace, "search"
    kube.create_credentials(namespace)
    looks.put(kube.create_token(namespace))
    if exists == "an older target":
        await looks.look(key)
        kube.create_credentials(namespace, "other", client_id="other")
        patch = {"spec": {"credentialsSecretRef": {"name": "other"}}}
        looks.put(kube.patch_token(namespace, "search", patch))
    exchanges = endpoint.exchanges
    looks.api.losing = True
    with pytest.raises(ApiError):
        await looks.look(key)
    looks.api.losing = False

    await looks.look(key)
    await looks.look(key)

    assert endpoint.exchanges == exchanges + 1
    assert (kube.secret(namespace, "search") or {})["access_token"] == endpoint.tokens[-1]
    assert (kube.condition(namespace, "search", "Refreshed") or {})["status"] == "True"


@pytest.mark.parametrize("cascade", ["it is gone", "it waits for what depends on it"])
async def test_a_resource_that_goes_gets_no_token_if_its_secrets_end_is_heard_of_first(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, looks: Looks, cascade: str
) -> None:
    key = namespace, "search"
    kube.create_credentials(namespace)
    looks.put(kube.create_token(namespace))
    await looks.look(key)
    if cascade == "it waits for what depends on it":
        held = {"metadata": {"finalizers": ["example.com/hold"]}}
        kube.patch_token(namespace, "search", held)
    kube.delete(token_path(namespace, "search"))
    kube.delete(secret_path(namespace, "search"))
    looks.watch.forget(key)

    await looks.look(key)

    assert kube.secret(namespace, "search") is None
    assert endpoint.exchanges == 1
    if cascade == "it waits for what depends on it":
        kube.patch_token(namespace, "search", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("fails", [True, False])
async def test_what_falls_due_during_a_slow_look_is_due_at_once(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, looks: Looks, fails: bool
) -> None:
    key = namespace, "search"
    endpoint.lifetime = 600
    kube.create_credentials(namespace)
    looks.put(kube.create_token(namespace))
    if fails:
        await looks.look(key)
        endpoint.mode = "503-html"
        kube.patch(secret_path(namespace, "account"), {"data": {"client_id": "b3RoZXI="}})
        looks.watch.forget((namespace, "account"))
    # Longer than the first back-off, or than the time until the refresh; not until the expiry.
    looks.api.slowness = timedelta(seconds=580)

    moment = await looks.look(key)

    assert moment is not None
    assert moment <= looks.api.now()


def now() -> datetime:
    return datetime.now(UTC)
