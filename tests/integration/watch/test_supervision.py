"""Whatever ends, stalls or blinds a watch, later changes are reported again.

A proxy between the watch and the API server causes the failures.
"""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import NoReturn

import pytest

from pinecone_token_operator.api.access_token import KIND
from pinecone_token_operator.controller.relist import list_resources
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube import client as operator_kube
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.watch.resources import ResourceWatch
from pinecone_token_operator.watch.secrets_metadata import SecretReflector
from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.api_proxy import ApiProxy, Line
from tests.support.cluster import Cluster
from tests.support.documented import GROUP, PLURAL, VERSION
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

# How long a watch may take to be re-established: its longest delay, and some for a busy machine.
PATIENCE = 45.0
INACTIVITY = timedelta(seconds=2)

Failure = Callable[[ApiProxy, str], None]
"""Causes a failure on the line of that name."""


def refuse(status: int, times: int | None = None) -> Failure:
    def make(proxy: ApiProxy, name: str) -> None:
        proxy.lines[name].refusals = times
        proxy.lines[name].refusal = status
        proxy.cut_watches(name)

    return make


def flag(attribute: str) -> Failure:
    def make(proxy: ApiProxy, name: str) -> None:
        setattr(proxy.lines[name], attribute, True)
        proxy.cut_watches(name)

    return make


def silence(proxy: ApiProxy, name: str) -> None:
    proxy.lines[name].silent_watches = True


def stall(proxy: ApiProxy, name: str) -> None:
    proxy.lines[name].stalled = True


# With the seconds that it lasts.
FAILURES: dict[str, tuple[Failure, float]] = {
    "connections are cut": (ApiProxy.cut, 0.0),
    "401 once": (refuse(401, times=1), 1.0),
    "401 for a while": (refuse(401), 8.0),
    "429 for a while": (refuse(429), 4.0),
    "503 for longer than kopf retries": (refuse(503), 20.0),
    "an ERROR event with 500": (flag("fails_watches"), 4.0),
    "410 for each watch that resumes": (flag("expires_watches"), 4.0),
    "each watch is closed at once": (flag("closes_watches"), 8.0),
    "a watch that carries nothing": (silence, 4.0),
    "nothing moves": (stall, 4.0),
}
KINDS = ("resources", "secrets")


@pytest.fixture(scope="module")
def proxy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProxy]:
    names = [f"{kind}: {failure}" for kind in KINDS for failure in FAILURES]
    directory = tmp_path_factory.mktemp("proxy")
    with ApiProxy(cluster.url, cluster.ca_file, directory, [*names, "operator"]) as running:
        yield running


class Reported:
    """The names that a watch has reported, or that exist when it may have missed some."""

    def __init__(self, api: operator_kube.Api, namespace: str) -> None:
        self.names: set[str] = set()
        self.watch: ResourceWatch | SecretReflector
        self.missed = asyncio.Event()
        self._api = api
        self._namespace = namespace

    async def list_what_was_missed(self) -> NoReturn:
        while True:
            await self.missed.wait()
            self.missed.clear()
            try:
                async for obj in list_resources(self._api, KIND, self._namespace):
                    self.names.add(obj["metadata"]["name"])
            except ApiError:
                self.missed.set()
                await asyncio.sleep(0.5)

    async def until(self, *names: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.names.issuperset(names):
            assert time.monotonic() < deadline, f"{names} were not reported, but {self.names}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(
    cluster: Cluster, proxy: ApiProxy, line: str, namespace: str
) -> AsyncIterator[Reported]:
    clock, rng = time.monotonic, random.Random(1)
    path = proxy.kubeconfig(line, cluster.token)
    async with aclosing(await operator_kube.connect(path, None)) as api:
        reported = Reported(api, namespace)
        if line.startswith("resources"):
            reported.watch = ResourceWatch(
                api,
                ApiResource(GROUP, VERSION, PLURAL),
                (namespace,),
                feed=lambda _, obj: reported.names.add(obj["metadata"]["name"]),
                missed=lambda _: reported.missed.set(),
                monotonic=clock,
                rng=rng,
                inactivity=INACTIVITY,
            )
        else:
            reported.watch = SecretReflector(
                api,
                namespace,
                is_wanted=lambda _: True,
                changed=lambda key, _: reported.names.add(key[1]),
                monotonic=clock,
                rng=rng,
                inactivity=INACTIVITY,
            )
        task: asyncio.Task[None] = asyncio.create_task(reported.watch.run())
        lister: asyncio.Task[None] = asyncio.create_task(reported.list_what_was_missed())
        try:
            yield reported
            assert not task.done()
            assert not lister.done()
        finally:
            task.cancel()
            lister.cancel()
            await asyncio.wait({task, lister})


async def test_watch_is_re_established_after_any_failure(
    cluster: Cluster, kube: Kube, namespace: str, proxy: ApiProxy
) -> None:
    """All failures at a time, each on its own line: most of the time is spent waiting."""

    def create(kind: str, name: str) -> None:
        if kind == "resources":
            kube.create_token(namespace, name)
        else:
            kube.create_secret(namespace, name, {})

    async def survive(number: int, kind: str, failure: str) -> None:
        line = f"{kind}: {failure}"
        make, seconds = FAILURES[failure]
        await asyncio.to_thread(create, kind, f"before-{number}")
        async with watching(cluster, proxy, line, namespace) as reported:
            await reported.until(f"before-{number}")
            await asyncio.to_thread(make, proxy, line)
            await asyncio.to_thread(create, kind, f"meanwhile-{number}")
            await asyncio.sleep(seconds)
            calm(proxy.lines[line])
            await reported.until(f"meanwhile-{number}")
            await asyncio.to_thread(create, kind, f"after-{number}")
            await reported.until(f"after-{number}")

    survived = [
        (kind, failure, asyncio.create_task(survive(number, kind, failure)))
        for number, (kind, failure) in enumerate(itertools.product(KINDS, FAILURES))
    ]
    await asyncio.wait([task for _, _, task in survived])
    lost = [
        f"{kind}: {failure}: {task.exception()}"
        for kind, failure, task in survived
        if task.exception()
    ]
    assert not lost, "\n".join(lost)


@pytest.mark.parametrize("kind", KINDS)
async def test_watch_that_closes_at_once_is_not_reopened_in_a_loop(
    cluster: Cluster, kube: Kube, namespace: str, proxy: ApiProxy, kind: str
) -> None:
    name = f"{kind}: each watch is closed at once"
    line = proxy.lines[name]
    kube.create_token(namespace, "before")
    kube.create_secret(namespace, "before", {})
    async with watching(cluster, proxy, name, namespace) as reported:
        await reported.until("before")
        flag("closes_watches")(proxy, name)
        before, seconds = line.requests, 6.0
        await asyncio.sleep(seconds)
        calm(line)
        # kopf alone makes a thousand a second.
        assert line.requests - before < 20 * seconds


async def test_relist_reports_a_secret_deleted_during_an_outage(
    cluster: Cluster, kube: Kube, namespace: str, proxy: ApiProxy
) -> None:
    name = "secrets: 410 for each watch that resumes"
    kube.create_secret(namespace, "before", {})
    async with watching(cluster, proxy, name, namespace) as reported:
        await reported.until("before")
        reported.names.clear()
        flag("expires_watches")(proxy, name)
        await asyncio.to_thread(kube.delete, secret_path(namespace, "before"))
        await asyncio.sleep(1)
        calm(proxy.lines[name])
        await reported.until("before")


def test_relist_finds_changes_missed_by_an_expired_watch(
    cluster: Cluster,
    kube: Kube,
    namespace: str,
    proxy: ApiProxy,
    start_operator: StartOperator,
) -> None:
    line = proxy.lines["operator"]
    kube.create_credentials(namespace)
    kube.create_token(namespace, "goes")
    operator = start_operator(kubeconfig=proxy.kubeconfig("operator", cluster.token))
    expiry = "pinecone_token_expiry_timestamp_seconds"
    eventually(lambda: operator.metric(expiry, name="goes") > 0, "it has a token")
    line.expires_watches = True
    proxy.cut_watches("operator")
    kube.delete(token_path(namespace, "goes"))
    kube.create_token(namespace, "new")
    eventually(
        lambda: operator.metric(expiry, name="new") > 0, "the operator keeps working", timeout=40
    )
    line.expires_watches = False

    def forgotten() -> bool:
        return str(operator.metric(expiry, name="goes")) == "nan"

    eventually(forgotten, "the deleted resource is forgotten", timeout=30)


def test_credentials_are_found_without_an_event(
    cluster: Cluster,
    kube: Kube,
    namespace: str,
    proxy: ApiProxy,
    start_operator: StartOperator,
) -> None:
    line = proxy.lines["operator"]
    kube.create_token(namespace, "search")
    start_operator(kubeconfig=proxy.kubeconfig("operator", cluster.token))

    def reported() -> bool:
        condition = kube.condition(namespace, "search", "Refreshed") or {}
        return condition.get("reason") == "CredentialsNotFound"

    eventually(reported, "the status says that there are none")
    line.silent_watches = True
    kube.create_credentials(namespace)
    eventually(lambda: kube.secret(namespace, "search") is not None, "it has a token", 30)
    line.silent_watches = False


def test_recreated_resource_is_found_without_an_event(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    proxy: ApiProxy,
    start_operator: StartOperator,
) -> None:
    endpoint.lifetime = 16  # so that the former one is soon refreshed in vain
    line = proxy.lines["operator"]
    kube.create_credentials(namespace)
    for name in ("search", "other"):
        kube.create_token(namespace, name)
    start_operator(kubeconfig=proxy.kubeconfig("operator", cluster.token))
    for name in ("search", "other"):
        kube.until(namespace, "Ready", "TokenValid", name)
    endpoint.lifetime = 1800
    line.silent_watches = True
    for name in ("search", "other"):
        kube.delete(token_path(namespace, name))
        kube.create_token(namespace, name)
    for name in ("search", "other"):
        kube.until(namespace, "Ready", "TokenValid", name, timeout=40)
    line.silent_watches = False


def calm(line: Line) -> None:
    line.refusal = line.refusals = None
    line.stalled = line.silent_watches = False
    line.closes_watches = line.fails_watches = line.expires_watches = False
