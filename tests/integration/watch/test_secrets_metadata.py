"""The reflector of Secrets against the API server: what it reports, and to whom."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Collection, Hashable, Iterator
from pathlib import Path

import pytest

from pinecone_token_operator.kube import client as operator_kube
from pinecone_token_operator.kube.secret_types import UNWATCHED
from pinecone_token_operator.watch.health import WatchHealth
from pinecone_token_operator.watch.reflector import RELIST_EVERY
from pinecone_token_operator.watch.secrets_metadata import Key, SecretReflector
from tests.support.api import Kube, secret_path
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import Cluster
from tests.support.watching import DEADLINE, Account, until

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)

UNREVEALED = "9" * 18
"""A resourceVersion newer than any that the server will send."""


class Reported:
    """A running reflector and what it reports: names, and who has seen that version.

    Attributes:
        ahead: how many seconds its clock is ahead.
    """

    def __init__(self, api: operator_kube.Api, namespace: str) -> None:
        self.ahead = 0.0
        self.reports: asyncio.Queue[tuple[str, Collection[Hashable]]] = asyncio.Queue()
        self.namespace = namespace
        self.health = WatchHealth()
        self.watch = SecretReflector(
            api,
            namespace,
            is_wanted=lambda key: key[1].startswith("wanted"),
            changed=self._report,
            monotonic=lambda: time.monotonic() + self.ahead,
            rng=random.Random(1),
            health=self.health,
        )

    def _report(self, key: Key, seen_by: Collection[Hashable]) -> None:
        assert key[0] == self.namespace
        self.reports.put_nowait((key[1], seen_by))

    async def next(self) -> str:
        """Return the name of the next Secret that is reported."""
        return (await self.next_with_readers())[0]

    async def next_with_readers(self) -> tuple[str, Collection[Hashable]]:
        async with asyncio.timeout(DEADLINE):
            return await self.reports.get()

    def version(self, name: str) -> str | None:
        return self.watch.resource_version((self.namespace, name))

    def note(self, kube: Kube, name: str, *, by: Hashable) -> None:
        """Note the version that the server has now."""
        secret = kube.secret_object(self.namespace, name)
        assert secret is not None
        metadata = secret["metadata"]
        key = self.namespace, name
        self.watch.note(key, metadata["uid"], metadata["resourceVersion"], by=by)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.watch.run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.fixture
async def reported(cluster: Cluster, namespace: str) -> AsyncIterator[Reported]:
    async with contextlib.aclosing(await operator_kube.connect(cluster.kubeconfig, None)) as api:
        yield Reported(api, namespace)


@pytest.fixture
async def running(reported: Reported) -> AsyncIterator[Reported]:
    async with reported.running():
        await until(lambda: not reported.health.not_ready(), reported.health.not_ready)
        yield reported


@pytest.fixture
async def proxied(cluster: Cluster, namespace: str, proxy: ApiProxy) -> AsyncIterator[Reported]:
    path = proxy.kubeconfig("operator", cluster.token)
    async with contextlib.aclosing(await operator_kube.connect(path, None)) as api:
        yield Reported(api, namespace)


def touch(kube: Kube, namespace: str, name: str = "wanted") -> str:
    """Change a Secret and return its version."""
    labels = {"touched": f"{time.monotonic_ns()}"}
    changed = kube.patch(secret_path(namespace, name), {"metadata": {"labels": labels}})
    version: str = changed["metadata"]["resourceVersion"]
    return version


async def test_reflector_reports_only_wanted_secrets(
    kube: Kube, namespace: str, running: Reported
) -> None:
    kube.create_secret(namespace, "other", {})
    kube.create_secret(namespace, "wanted", {})
    assert await running.next() == "wanted"
    touch(kube, namespace, "other")
    touch(kube, namespace)
    assert await running.next() == "wanted"
    kube.delete(secret_path(namespace, "wanted"))
    assert await running.next() == "wanted"
    assert running.reports.empty()


@pytest.mark.parametrize("type_", UNWATCHED)
async def test_reflector_does_not_see_unwatched_types(
    kube: Kube, namespace: str, running: Reported, type_: str
) -> None:
    annotations = {"kubernetes.io/service-account.name": "default"}
    secret = {"metadata": {"name": "wanted", "annotations": annotations}, "type": type_}
    kube.create(secret_path(namespace), secret)
    kube.create_secret(namespace, "wanted-next", {})
    assert await running.next() == "wanted-next"


async def test_reflector_names_the_writer_of_a_version(
    kube: Kube, namespace: str, running: Reported
) -> None:
    """The writer is not notified of its own write; everyone else is."""
    kube.create_secret(namespace, "wanted", {})
    running.note(kube, "wanted", by="one")
    assert await running.next_with_readers() == ("wanted", {"one"})
    touch(kube, namespace)
    assert await running.next_with_readers() == ("wanted", set())
    touch(kube, namespace)
    running.note(kube, "wanted", by="one")
    running.note(kube, "wanted", by="two")
    assert await running.next_with_readers() == ("wanted", {"one", "two"})
    kube.delete(secret_path(namespace, "wanted"))
    assert await running.next_with_readers() == ("wanted", set())


async def test_reflector_reports_a_noted_secret_when_it_is_listed(
    kube: Kube, namespace: str, reported: Reported
) -> None:
    """One resource has read a Secret that another looked for a moment before it existed."""
    kube.create_secret(namespace, "wanted", {})
    reported.note(kube, "wanted", by="one")
    async with reported.running():
        assert await reported.next_with_readers() == ("wanted", {"one"})


async def test_late_reply_does_not_bring_a_deleted_secret_back(
    kube: Kube, namespace: str, running: Reported
) -> None:
    created = kube.create_secret(namespace, "wanted", {})["metadata"]
    assert await running.next() == "wanted"
    kube.delete(secret_path(namespace, "wanted"))
    assert await running.next() == "wanted"
    deleted = running.version("wanted")
    running.watch.note((namespace, "wanted"), created["uid"], created["resourceVersion"], by="one")
    assert running.version("wanted") == deleted != created["resourceVersion"]


async def test_late_event_does_not_replace_a_newer_version(
    kube: Kube, namespace: str, running: Reported
) -> None:
    created = kube.create_secret(namespace, "wanted", {})["metadata"]
    assert await running.next() == "wanted"
    running.watch.note((namespace, "wanted"), created["uid"], UNREVEALED)
    touch(kube, namespace)
    kube.create_secret(namespace, "wanted-next", {})
    assert await running.next() == "wanted-next"
    assert running.version("wanted") == UNREVEALED


async def test_event_of_a_recreated_secret_counts_whatever_its_version(
    kube: Kube, namespace: str, running: Reported
) -> None:
    running.watch.note((namespace, "wanted"), "former uid", UNREVEALED)
    version = kube.create_secret(namespace, "wanted", {})["metadata"]["resourceVersion"]
    assert await running.next() == "wanted"
    assert running.version("wanted") == version


async def test_list_overrides_what_was_known(
    kube: Kube, namespace: str, reported: Reported
) -> None:
    """Also where versions from before it are newer, as after a restore of the store."""
    kept = kube.create_secret(namespace, "wanted", {})["metadata"]
    reported.watch.note((namespace, "wanted"), kept["uid"], UNREVEALED, by="one")
    reported.watch.note((namespace, "wanted-gone"), "uid", UNREVEALED, by="one")
    async with reported.running():
        reports = dict([await reported.next_with_readers() for _ in range(2)])
        assert reports == {"wanted": set(), "wanted-gone": set()}
        await until(lambda: reported.version("wanted"), lambda: "the watch is not open")
        assert reported.version("wanted") == kept["resourceVersion"]
        assert reported.version("wanted-gone") is None


async def test_version_is_unknown_while_no_watch_is_open(
    kube: Kube, namespace: str, proxied: Reported, proxy: ApiProxy
) -> None:
    """The caller then reads the Secret again."""
    version = kube.create_secret(namespace, "wanted", {})["metadata"]["resourceVersion"]
    async with proxied.running():
        await until(lambda: proxied.version("wanted") == version, proxied.health.not_ready)
        proxy.lines["operator"].refusal = 503
        proxy.cut_watches("operator")
        await until(lambda: proxied.version("wanted") is None, lambda: "it is still known")
        assert not proxied.health.not_ready()  # an outage of the API server, which will end
        assert set(proxied.health.unserved) == {namespace}
        proxy.lines["operator"].refusal = None
        await until(lambda: proxied.version("wanted") == version, proxied.health.not_ready)
        assert proxied.health.unserved == {}


@pytest.mark.parametrize("status", [404, 500, 403])
async def test_failed_list_does_not_prove_absence(
    kube: Kube, namespace: str, proxied: Reported, proxy: ApiProxy, status: int
) -> None:
    version = kube.create_secret(namespace, "wanted", {})["metadata"]["resourceVersion"]
    async with proxied.running():
        assert await proxied.next() == "wanted"
        await until(lambda: proxied.version("wanted"), proxied.health.not_ready)
        proxied.ahead += RELIST_EVERY.total_seconds() * 1.1
        line = proxy.lines["operator"]
        line.refusal, line.refusals = status, 1
        proxy.cut_watches("operator")
        await until(lambda: line.refusal is None, lambda: "no request")
        assert await proxied.next() == "wanted"  # by the list that follows
        assert proxied.version("wanted") in (None, version)
        await until(lambda: proxied.version("wanted") == version, proxied.health.not_ready)


async def test_reflector_resumes_without_a_list_until_one_is_due(
    kube: Kube, namespace: str, proxied: Reported, proxy: ApiProxy
) -> None:
    kube.create_secret(namespace, "wanted", {})
    async with proxied.running():
        assert await proxied.next() == "wanted"
        await until(lambda: proxied.version("wanted"), proxied.health.not_ready)
        proxy.cut_watches("operator")
        kube.create_secret(namespace, "wanted-too", {})
        assert await proxied.next() == "wanted-too"
        # What a proxy has swallowed is made up for by the list.
        proxied.ahead += RELIST_EVERY.total_seconds() * 1.1
        proxy.cut_watches("operator")
        assert {await proxied.next(), await proxied.next()} == {"wanted", "wanted-too"}


async def test_forbidden_reflector_begins_and_recovers(
    cluster: Cluster, kube: Kube, namespace: str, proxy: ApiProxy
) -> None:
    kube.create_secret(namespace, "wanted", {})
    account = Account(cluster, kube, namespace)
    path = proxy.kubeconfig("operator", account.token)
    async with contextlib.aclosing(await operator_kube.connect(path, None)) as api:
        reported = Reported(api, namespace)
        async with reported.running():
            await asyncio.wait_for(reported.watch.begun.wait(), DEADLINE)
            assert not reported.watch.synced.is_set()
            [problem] = reported.health.not_ready()
            assert problem.startswith(f"namespace {namespace}: failed to watch secrets (403 Forb")
            # Without a watch it lists again and again, so changes are found, if late.
            account.grant(namespace, "list")
            assert await reported.next() == "wanted"
            touch(kube, namespace)
            assert await reported.next() == "wanted"
            assert "cannot watch" in str(reported.health.unserved)
            account.grant(namespace, "list", "watch")
            await until(lambda: reported.version("wanted"), reported.health.not_ready, 40)
            assert reported.health.unserved == {}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose store may be replaced."""
    with Cluster(tmp_path_factory.mktemp("cluster"), audit=False) as running:
        yield running


async def test_restored_store_is_relisted(own: Cluster, tmp_path: Path) -> None:
    """Its versions are of the past, so a watch from the latest known one would carry nothing."""
    backup = tmp_path / "backup"
    with Kube(own) as kube:
        kube.create_secret("default", "wanted", {})
        old = touch(kube, "default")
        kube.create_secret("default", "wanted-gone", {})
    await asyncio.to_thread(own.back_up_store, backup)
    api = await operator_kube.connect(own.kubeconfig, None)
    async with contextlib.aclosing(api):
        reported = Reported(api, "default")
        async with reported.running():
            with Kube(own) as kube:
                kube.delete(secret_path("default", "wanted-gone"))
                kube.create_secret("default", "wanted-lost", {})
                for _ in range(200):
                    touch(kube, "default")
                reported.note(kube, "wanted", by="one")
            await until(lambda: reported.version("wanted-lost"), lambda: "not seen")
            await asyncio.to_thread(own.restore_store, backup)
            await until(lambda: reported.version("wanted") == old, lambda: "no", 60)
            assert reported.version("wanted-lost") is None
            assert reported.version("wanted-gone")
            with Kube(own) as kube:
                version = touch(kube, "default")
            await until(lambda: reported.version("wanted") == version, lambda: "not seen")


async def test_restored_store_is_relisted_when_its_versions_caught_up(
    own: Cluster, tmp_path: Path
) -> None:
    """No version then shows that something was lost."""
    backup = tmp_path / "backup"
    await asyncio.to_thread(own.back_up_store, backup)
    with ApiProxy(own.url, own.ca_file, tmp_path / "proxy", ["operator"]) as proxy:
        api = await operator_kube.connect(proxy.kubeconfig("operator", own.token), None)
        reported = Reported(api, "default")
        async with contextlib.aclosing(api), reported.running():
            with Kube(own) as kube:
                kube.create_secret("default", "wanted-lost", {})
                await until(lambda: reported.version("wanted-lost"), lambda: "not seen")
            proxy.lines["operator"].refusal = 503
            await asyncio.to_thread(own.restore_store, backup)
            await until(lambda: reported.health.unserved, lambda: "the restart went unnoticed")
            with Kube(own) as kube:
                kube.create_secret("default", "other", {})
                for _ in range(100):
                    touch(kube, "default", "other")
            proxy.lines["operator"].refusal = None
            await until(lambda: not reported.health.unserved, lambda: "not resumed", 40)
            assert reported.version("wanted-lost") is None
