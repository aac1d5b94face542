"""A write that the API server made and whose reply was lost costs nothing and blocks nothing."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from pinecone_token_operator import kube
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.exchange import Exchange
from pinecone_token_operator.index import Index
from pinecone_token_operator.metrics import Metrics
from pinecone_token_operator.models import parse_resource
from pinecone_token_operator.observe import Observer
from pinecone_token_operator.reconcile import Reconciler
from pinecone_token_operator.secret_watch import SecretWatch
from pinecone_token_operator.token_client import TokenClient
from tests.support.api import Kube
from tests.support.cluster import Cluster
from tests.support.token_endpoint import TokenEndpoint


class LosesReplies:
    """The real API server, over a connection that breaks after each write of a Secret."""

    def __init__(self, api: kube.Api) -> None:
        self._api = api
        self.losing = True

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        answer = await self._api.request(method, path, body=body, content_type=content_type)
        if self.losing and method != "GET" and "/secrets" in path:
            raise ApiError(0, "ConnectionFailed", "The connection broke")
        return answer


@pytest.mark.parametrize("exists", ["a new target", "an older target"])
async def test_a_lost_reply(
    cluster: Cluster, kube: Kube, endpoint: TokenEndpoint, namespace: str, exists: str
) -> None:
    kube.create_credentials(namespace)
    resource = parse_resource(kube.create_token(namespace))
    api = await connect(cluster)
    losing = LosesReplies(api)
    tokens = TokenClient(endpoint.url, "audience", "2025-04", endpoint.ca_bundle, 1, now)
    index, metrics, rng = Index(), Metrics(), random.Random(1)
    index.put(resource)
    watch = SecretWatch(api, namespace, index.is_wanted, lambda _: None, lambda: 0.0, rng)
    observer = Observer(losing, lambda _: watch, index, rng, "audience", endpoint.url)
    exchange = Exchange(tokens, metrics, now, rng)
    reconciler = Reconciler(losing, observer, exchange, index, metrics, lambda *_: None, now, rng)
    try:
        if exists == "an older target":
            losing.losing = False
            await reconciler.reconcile(resource.key)
            kube.create_credentials(namespace, "other", client_id="other")
            patch = {"spec": {"credentialsSecretRef": {"name": "other"}}}
            resource = parse_resource(kube.patch_token(namespace, "search", patch))
            index.put(resource)
            losing.losing = True
        exchanges = endpoint.exchanges
        with pytest.raises(ApiError):
            await reconciler.reconcile(resource.key)
        losing.losing = False

        await reconciler.reconcile(resource.key)
        await reconciler.reconcile(resource.key)

        assert endpoint.exchanges == exchanges + 1
        assert (kube.secret(namespace, "search") or {})["access_token"] == endpoint.tokens[-1]
        refreshed = kube.condition(namespace, "search", "Refreshed")
        assert refreshed is not None
        assert refreshed["status"] == "True"
    finally:
        await tokens.aclose()
        await api.aclose()


async def connect(cluster: Cluster) -> kube.Api:
    return await kube.connect(cluster.kubeconfig, None)


def now() -> datetime:
    return datetime.now(UTC)
