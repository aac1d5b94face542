"""Whatever ends, stalls or blinds a watch, what happens afterwards is told again.

The trouble is made by a proxy between the watch and the API server.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pinecone_token_operator import kube as operator_kube
from pinecone_token_operator.handlers import ResourceWatch
from pinecone_token_operator.secret_watch import SecretWatch
from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.api_proxy import ApiProxy, Line
from tests.support.cluster import Cluster
from tests.support.kubeconfig import write_kubeconfig
from tests.support.operator_process import Operator
from tests.support.token_endpoint import TokenEndpoint

# How long a watch may take to come back: its longest delay, and some for a busy machine.
PATIENCE = 45.0
INACTIVITY = timedelta(seconds=2)

Trouble = Callable[[Line, ApiProxy], None]


def refuse(status: int, times: int | None = None) -> Trouble:
    def make(line: Line, proxy: ApiProxy) -> None:
        line.refusals = times
        line.refusal = status
        proxy.cut_watches("watch")

    return make


def flag(name: str) -> Trouble:
    def make(line: Line, proxy: ApiProxy) -> None:
        setattr(line, name, True)
        proxy.cut_watches("watch")

    return make


def silence(line: Line, _: ApiProxy) -> None:
    line.silent_watches = True


def stall(line: Line, _: ApiProxy) -> None:
    line.stalled = True


TROUBLE = [
    pytest.param(lambda _, proxy: proxy.cut("watch"), 0.0, id="connections are cut"),
    pytest.param(refuse(401, times=1), 1.0, id="401 once"),
    pytest.param(refuse(401), 8.0, id="401 for a while"),
    pytest.param(refuse(429), 4.0, id="429 for a while"),
    pytest.param(refuse(503), 20.0, id="503 for longer than kopf tries"),
    pytest.param(flag("fails_watches"), 4.0, id="an ERROR event with 500"),
    pytest.param(flag("expires_watches"), 4.0, id="410 for each that resumes"),
    pytest.param(flag("closes_watches"), 8.0, id="each watch is closed at once"),
    pytest.param(silence, 4.0, id="a watch that tells nothing"),
    pytest.param(stall, 4.0, id="nothing moves"),
]


@pytest.fixture(scope="module")
def proxy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProxy]:
    directory = tmp_path_factory.mktemp("proxy")
    names = ["watch", "operator"]
    with ApiProxy(cluster.url, cluster.ca_file, directory, names) as running:
        yield running


@pytest.fixture
def kubeconfig(cluster: Cluster, proxy: ApiProxy, tmp_path: Path) -> Path:
    user = {"token": cluster.token}
    return write_kubeconfig(tmp_path / "kubeconfig", proxy.lines["watch"].url, proxy.ca_file, user)


class Told:
    """The names that a watch has told."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.watch: ResourceWatch | SecretWatch

    async def until(self, *names: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.names.issuperset(names):
            assert time.monotonic() < deadline, f"{names} were not told, but {self.names}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(kind: str, kubeconfig: Path, namespace: str) -> AsyncIterator[Told]:
    told = Told()
    clock, rng = time.monotonic, random.Random(1)
    async with aclosing(await operator_kube.connect(kubeconfig, None)) as api:
        if kind == "resources":
            told.watch = ResourceWatch(
                api,
                (namespace,),
                lambda _, obj: told.names.add(obj["metadata"]["name"]),
                clock,
                rng,
                INACTIVITY,
            )
        else:
            told.watch = SecretWatch(
                api,
                namespace,
                lambda _: True,
                lambda key: told.names.add(key[1]),
                clock,
                rng,
                INACTIVITY,
            )
        task: asyncio.Task[None] = asyncio.create_task(told.watch.run())
        try:
            yield told
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait({task})
            await asyncio.sleep(0.1)  # for the TLS farewell of requests that were cancelled


@pytest.mark.parametrize("kind", ["resources", "secrets"])
@pytest.mark.parametrize(("trouble", "seconds"), TROUBLE)
async def test_a_watch_comes_back(
    kube: Kube,
    namespace: str,
    proxy: ApiProxy,
    kubeconfig: Path,
    kind: str,
    trouble: Trouble,
    seconds: float,
) -> None:
    line = proxy.lines["watch"]

    def create(name: str) -> None:
        if kind == "resources":
            kube.create_token(namespace, name)
        else:
            kube.create_secret(namespace, name, {})

    await asyncio.to_thread(create, "before")
    async with watching(kind, kubeconfig, namespace) as told:
        await told.until("before")
        await asyncio.to_thread(trouble, line, proxy)
        await asyncio.to_thread(create, "meanwhile")
        await asyncio.sleep(seconds)  # how long the trouble lasts
        calm(line)
        await told.until("meanwhile")
        await asyncio.to_thread(create, "after")
        await told.until("after")


@pytest.mark.parametrize("kind", ["resources", "secrets"])
async def test_watches_that_close_at_once_are_not_opened_in_a_tight_loop(
    kube: Kube, namespace: str, proxy: ApiProxy, kubeconfig: Path, kind: str
) -> None:
    line = proxy.lines["watch"]
    kube.create_token(namespace, "before")
    kube.create_secret(namespace, "before", {})
    async with watching(kind, kubeconfig, namespace) as told:
        await told.until("before")
        flag("closes_watches")(line, proxy)
        before, seconds = line.requests, 10.0
        await asyncio.sleep(seconds)
        calm(line)
        # kopf alone makes several hundred a second.
        assert line.requests - before < 40 * seconds


async def test_a_secret_that_went_while_nothing_was_told_is_told(
    kube: Kube, namespace: str, proxy: ApiProxy, kubeconfig: Path
) -> None:
    line = proxy.lines["watch"]
    kube.create_secret(namespace, "before", {})
    async with watching("secrets", kubeconfig, namespace) as told:
        await told.until("before")
        told.names.clear()
        flag("expires_watches")(line, proxy)
        await asyncio.to_thread(kube.delete, secret_path(namespace, "before"))
        await asyncio.sleep(1)
        calm(line)
        await told.until("before")


def test_a_resource_that_went_while_nothing_was_told_is_found_by_the_next_listing(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    proxy: ApiProxy,
    tmp_path: Path,
) -> None:
    line = proxy.lines["operator"]
    config = write_kubeconfig(
        tmp_path / "kubeconfig", line.url, proxy.ca_file, {"token": cluster.token}
    )
    kube.create_credentials(namespace)
    kube.create_token(namespace, "goes")
    operator = Operator(
        config,
        endpoint.url,
        endpoint.ca_bundle,
        tmp_path,
        namespaces=[namespace],
        options=["--resync-interval=10s"],
    )
    expiry = "pinecone_token_expiry_timestamp_seconds"
    with operator:
        operator.wait_ready()
        eventually(lambda: operator.metric(expiry, name="goes") > 0, "it has a token")
        # kopf lists anew after this, and tells what is there, not what has gone.
        line.expires_watches = True
        proxy.cut_watches("operator")
        kube.delete(token_path(namespace, "goes"))
        kube.create_token(namespace, "new")
        eventually(lambda: operator.metric(expiry, name="new") > 0, "it works on", timeout=40)
        line.expires_watches = False

        def forgotten() -> bool:
            return str(operator.metric(expiry, name="goes")) == "nan"

        eventually(forgotten, "what went is forgotten", timeout=30)


def calm(line: Line) -> None:
    line.refusal = line.refusals = None
    line.stalled = line.silent_watches = False
    line.closes_watches = line.fails_watches = line.expires_watches = False
