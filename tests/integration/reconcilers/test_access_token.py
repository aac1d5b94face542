"""One reconcile of one resource, in situations that are hard to time from outside the process."""

import random
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack

import pytest

from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.issuing.oauth_client import TokenClient
from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.kube import client as operator_kube
from pinecone_token_operator.kube.interfaces import RequestOptions
from pinecone_token_operator.reconcilers.gather import Audience
from pinecone_token_operator.runtime.assembly import assemble
from pinecone_token_operator.telemetry.metrics import Metrics
from tests.support.api import Kube, secret_path, token_path
from tests.support.cluster import Cluster
from tests.support.documented import KIND
from tests.support.token_endpoint import TokenEndpoint


class LossyApi:
    """The real API server over a connection that may lose replies or be slow.

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

    def pages(self, path: str, **options: Any) -> AsyncIterator[dict[str, Any]]:
        return self._api.pages(path, **options)

    def watch(self, path: str, **options: Any) -> AsyncGenerator[dict[str, Any], None]:
        return self._api.watch(path, **options)


class Unwatched:
    """A control loop without watches, so that the test decides when to reconcile."""

    def __init__(
        self, api: operator_kube.Api, tokens: TokenClient, namespace: str, token_url: str
    ) -> None:
        self.api = LossyApi(api)
        self._loop = assemble(
            api=self.api,
            writable=self.api,
            endpoint=tokens,
            record=lambda *_: None,
            audience=Audience("audience", token_url),
            namespaces=[namespace],
            shard=Shard(),
            keep_tokens=timedelta(),
            metrics=Metrics(),
            env=Env(now=self.api.now, monotonic=lambda: 0.0, rng=random.Random(1)),
        )
        (self.secrets,) = self._loop.reflectors.values()

    def put(self, resource: dict[str, Any]) -> None:
        self._loop.controller.resource_event(KIND, "MODIFIED", resource)

    async def reconcile(self, key: tuple[str, str]) -> datetime | None:
        return await self._loop.reconcilers[KIND].reconcile(ObjectRef(KIND, *key))


@pytest.fixture
async def unwatched(
    cluster: Cluster, endpoint: TokenEndpoint, namespace: str
) -> AsyncIterator[Unwatched]:
    api = await operator_kube.connect(cluster.kubeconfig, None)
    source = Endpoint(endpoint.url, "audience", "2025-04", endpoint.ca_bundle)
    tokens = TokenClient(source, 1, now)
    try:
        yield Unwatched(api, tokens, namespace, endpoint.url)
    finally:
        await tokens.aclose()
        await api.aclose()


@pytest.mark.parametrize("exists", ["a new target", "an existing target"])
async def test_lost_reply_to_a_write_costs_no_second_exchange(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, unwatched: Unwatched, exists: str
) -> None:
    key = namespace, "search"
    kube.create_credentials(namespace)
    unwatched.put(kube.create_token(namespace))
    if exists == "an existing target":
        await unwatched.reconcile(key)
        kube.create_credentials(namespace, "other", client_id="other")
        patch = {"spec": {"credentialsSecretRef": {"name": "other"}}}
        unwatched.put(kube.patch_token(namespace, "search", patch))
    exchanges = endpoint.exchanges
    unwatched.api.losing = True
    retry_at = await unwatched.reconcile(key)
    assert retry_at is not None
    unwatched.api.losing = False

    await unwatched.reconcile(key)
    await unwatched.reconcile(key)

    assert endpoint.exchanges == exchanges + 1
    assert (kube.secret(namespace, "search") or {})["access_token"] == endpoint.tokens[-1]
    assert (kube.condition(namespace, "search", "Refreshed") or {})["status"] == "True"


@pytest.mark.parametrize("cascade", ["it is gone", "it waits for its dependents"])
async def test_deleted_resource_gets_no_token_after_its_secret(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, unwatched: Unwatched, cascade: str
) -> None:
    key = namespace, "search"
    kube.create_credentials(namespace)
    unwatched.put(kube.create_token(namespace))
    await unwatched.reconcile(key)
    if cascade == "it waits for its dependents":
        held = {"metadata": {"finalizers": ["example.com/hold"]}}
        kube.patch_token(namespace, "search", held)
    # Before its resource, or the garbage collector may have deleted it already.
    kube.delete(secret_path(namespace, "search"))
    kube.delete(token_path(namespace, "search"))
    unwatched.secrets.forget(key)

    await unwatched.reconcile(key)

    assert kube.secret(namespace, "search") is None
    assert endpoint.exchanges == 1
    if cascade == "it waits for its dependents":
        kube.patch_token(namespace, "search", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("fails", [True, False])
async def test_refresh_due_during_a_reconcile_is_made_at_once(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, unwatched: Unwatched, fails: bool
) -> None:
    key = namespace, "search"
    endpoint.lifetime = 600
    kube.create_credentials(namespace)
    unwatched.put(kube.create_token(namespace))
    if fails:
        await unwatched.reconcile(key)
        endpoint.mode = "503-html"
        kube.patch(secret_path(namespace, "account"), {"data": {"client_id": "b3RoZXI="}})
        unwatched.secrets.forget((namespace, "account"))
    # Longer than the first backoff, or than the time until the refresh; not until the expiry.
    unwatched.api.slowness = timedelta(seconds=580)

    moment = await unwatched.reconcile(key)

    assert moment is not None
    assert moment <= unwatched.api.now()


def now() -> datetime:
    return datetime.now(UTC)
