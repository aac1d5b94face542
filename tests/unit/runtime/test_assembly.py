"""A second kind takes a reconciler and its registration; the control loop knows no kind."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Unpack

from pinecone_token_operator.api.common import Metadata
from pinecone_token_operator.api.group import Kind
from pinecone_token_operator.config.shard import Shard
from pinecone_token_operator.controller.reconciler import Object, Resource
from pinecone_token_operator.env import Env
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import AccessToken
from pinecone_token_operator.keys import ObjectRef, SecretKey
from pinecone_token_operator.kube.interfaces import RequestOptions
from pinecone_token_operator.reconcilers.gather import Audience
from pinecone_token_operator.reconcilers.refresh import MakeRefresher
from pinecone_token_operator.reconcilers.token_reconciler import Collaborators
from pinecone_token_operator.runtime.assembly import RECONCILERS, ControlLoop, assemble
from pinecone_token_operator.telemetry.metrics import Metrics
from tests.support.builders import NOON

SHARED = Kind("SharedToken", "sharedtokens", namespaced=False)
CREDENTIALS = ("operator", "account")
TARGETS = (("team-a", "token"), ("team-b", "token"))


@dataclass(frozen=True)
class SharedToken:
    """A cluster-scoped resource with two targets, which no module of the operator knows."""

    metadata: Metadata

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(SHARED.name, "", self.metadata.name)

    @property
    def credentials_key(self) -> SecretKey:
        return CREDENTIALS

    @property
    def target_keys(self) -> tuple[SecretKey, ...]:
        return TARGETS


class SharedTokenReconciler:
    """Records what the control loop asks of it."""

    kind = SHARED

    def __init__(self, _uses: Collaborators, _make_refresher: MakeRefresher) -> None:
        self.reconciled: list[ObjectRef] = []
        self.forgotten: list[ObjectRef] = []
        self.cleaned_up = False

    def parse(self, obj: Object) -> SharedToken:
        metadata = obj["metadata"]
        return SharedToken(Metadata(metadata["name"], metadata["uid"], NOON))

    async def reconcile(self, ref: ObjectRef) -> datetime | None:
        self.reconciled.append(ref)
        return None

    async def reject(self, _obj: Object, _message: str) -> None:
        raise AssertionError("every object parses")

    def forget(self, resource: Resource) -> None:
        self.forgotten.append(resource.ref)

    def removal(self, _resource: Resource) -> Callable[[], Awaitable[None]] | None:
        async def clean_up() -> None:
            self.cleaned_up = True

        return clean_up

    async def find_orphans(
        self, _namespace: str | None, _living: Container[str]
    ) -> Mapping[SecretKey, Callable[[], Awaitable[None]]]:
        return {}

    def status_seen(self, _resource: Resource, _status: Mapping[str, Any]) -> None:
        pass

    def urgency(self, _ref: ObjectRef) -> tuple[float, ...]:
        return (0.0,)


class Empty:
    """An API server without objects, and a token endpoint that nobody should call."""

    def __init__(self) -> None:
        self.listed: list[str] = []

    async def request(self, method: str, path: str, **_: Unpack[RequestOptions]) -> dict[str, Any]:
        raise AssertionError(f"{method} {path} is not to be requested")

    async def pages(self, path: str, **_: Any) -> AsyncIterator[dict[str, Any]]:
        self.listed.append(path)
        yield {"metadata": {"resourceVersion": "1"}, "items": []}

    async def watch(self, path: str, **_: Any) -> AsyncGenerator[dict[str, Any], None]:
        await asyncio.Event().wait()
        yield {"path": path}

    async def issue(self, credentials: Credentials) -> AccessToken:
        raise AssertionError(f"no token is to be issued for {credentials}")


def make_loop(api: Empty, metrics: Metrics | None = None) -> ControlLoop:
    return assemble(
        api=api,
        writable=api,
        endpoint=api,
        record=lambda *_: None,
        audience=Audience("audience", "https://token-endpoint/"),
        namespaces=["team-a", "team-b"],
        shard=Shard(),
        keep_tokens=timedelta(),
        metrics=metrics or Metrics(),
        env=Env(now=lambda: NOON, monotonic=lambda: 0.0, rng=random.Random(1)),
        kinds=(*RECONCILERS, SharedTokenReconciler),
    )


async def test_second_kind_is_reconciled_and_forgotten() -> None:
    loop = make_loop(Empty())
    reconciler = loop.reconcilers[SHARED.name]
    assert isinstance(reconciler, SharedTokenReconciler)
    ref = ObjectRef(SHARED.name, "", "shared")
    obj = {"metadata": {"name": "shared", "uid": "5a", "generation": 1}}

    def take(event_type: str) -> None:
        assert loop.controller.is_relevant(SHARED.name, event_type, obj)
        loop.controller.resource_event(SHARED.name, event_type, obj)

    working = asyncio.create_task(loop.controller.run(1))
    try:
        await asyncio.sleep(0)
        take("ADDED")
        async with asyncio.timeout(5):
            while reconciler.reconciled != [ref]:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
            for secret in (CREDENTIALS, *TARGETS):
                assert loop.index.is_wanted(secret)
                loop.controller.secret_changed(secret, seen_by=())
            take("DELETED")
            while not reconciler.cleaned_up:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
    finally:
        working.cancel()
        await asyncio.wait({working})
    assert reconciler.forgotten == [ref]
    assert not loop.index.is_wanted(CREDENTIALS)


async def test_queue_length_is_measured_at_each_scrape() -> None:
    metrics = Metrics()
    loop = make_loop(Empty(), metrics)
    loop.workers.start()
    for length, name in enumerate(("one", "two"), start=1):
        obj = {"metadata": {"name": name, "uid": name, "generation": 1}}
        loop.controller.resource_event(SHARED.name, "ADDED", obj)
        scraped = metrics.render(["pinecone_token_queue_length"]).decode()
        assert f"pinecone_token_queue_length {length}.0" in scraped


async def test_cluster_scoped_kind_is_listed_once_for_all_namespaces() -> None:
    api = Empty()
    loop = make_loop(api)
    await loop.controller.list_all()
    paths = [path for path in api.listed if path.endswith("tokens")]
    group = "/apis/pinecone.token-operator.dev/v1alpha1"
    assert sorted(paths) == [
        f"{group}/namespaces/team-a/pineconeaccesstokens",
        f"{group}/namespaces/team-b/pineconeaccesstokens",
        f"{group}/sharedtokens",
    ]
    assert not loop.controller.unlisted
