"""kopf against a real API server: what is forwarded, and that nothing ends it for good."""

import asyncio
import contextlib
import json
import logging
import random
import signal
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pinecone_token_operator.kube import client
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.watch.resources import ResourceWatch
from tests.support.api import Kube, eventually, token_path
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import Cluster
from tests.support.crd import install_crd
from tests.support.documented import GROUP, PLURAL, VERSION
from tests.support.repository import CRD
from tests.support.watching import DEADLINE, Account, until

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)

RESOURCE = ApiResource(GROUP, VERSION, PLURAL)
Event = tuple[str | None, str, str]


class Fed:
    """What was forwarded, as (type, namespace, name)."""

    def __init__(self) -> None:
        self.missed_in: list[str | None] = []
        self.events: list[Event] = []
        self.objects: list[dict[str, Any]] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, event_type: str | None, obj: dict[str, Any]) -> None:
        self.threads.add(threading.current_thread())
        self.objects.append(obj)
        self.events.append((event_type, obj["metadata"]["namespace"], obj["metadata"]["name"]))
        if obj["metadata"]["name"] == "poison":
            raise ValueError("cannot take it")

    def missed(self, namespace: str | None) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.missed_in.append(namespace)

    async def until(self, *wanted: Event) -> None:
        await until(lambda: set(wanted) <= set(self.events), lambda: f"{wanted}: {self.events}")


def predicate(_: object, obj: Mapping[str, Any]) -> bool:
    return bool(obj["metadata"]["name"] != "filtered")


@contextlib.asynccontextmanager
async def watching(
    kubeconfig: Path, fed: Fed, *namespaces: str
) -> AsyncIterator[tuple[ResourceWatch, "asyncio.Task[None]"]]:
    api = await client.connect(kubeconfig, None)
    watch = ResourceWatch(
        api,
        RESOURCE,
        namespaces,
        feed=fed,
        missed=fed.missed,
        monotonic=time.monotonic,
        rng=random.Random(1),
        predicate=predicate,
    )
    task: asyncio.Task[None] = asyncio.create_task(watch.run())
    try:
        yield watch, task
    finally:
        started = time.monotonic()
        task.cancel()
        await asyncio.wait({task}, timeout=DEADLINE)
        assert task.cancelled()
        assert time.monotonic() - started < 2.0
        assert not [each for each in threading.enumerate() if each.name == "kopf"]
        await api.aclose()


@pytest.fixture
def namespaces(kube: Kube) -> Iterator[Callable[[], str]]:
    """Return a function that creates a namespace."""
    names = []

    def create() -> str:
        names.append(f"watched-{uuid.uuid4().hex[:8]}")
        kube.create("/api/v1/namespaces", {"metadata": {"name": names[-1]}})
        return names[-1]

    yield create
    for name in names:
        kube.remove_namespace(name)


def apply(cluster: Cluster, where: str, name: str, secret: str = "account") -> None:
    manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "PineconeAccessToken",
        "metadata": {"name": name, "namespace": where},
        "spec": {"credentialsSecretRef": {"name": secret}},
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))


async def until_forwarded(kube: Kube, fed: Fed, where: str, seconds: float = DEADLINE) -> None:
    """Create resources until one is forwarded: the watch may begin after the first."""
    deadline = time.monotonic() + seconds
    while not [each for each in fed.events if each[1] == where and each[2].startswith("after-")]:
        assert time.monotonic() < deadline, fed.events
        await asyncio.to_thread(kube.create_token, where, f"after-{uuid.uuid4().hex[:6]}")
        await asyncio.sleep(0.5)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


async def test_watch_forwards_changes_but_not_what_exists(
    cluster: Cluster, namespaces: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    space = namespaces()
    apply(cluster, space, "old")
    fed = Fed()
    async with watching(cluster.kubeconfig, fed) as (watch, task):
        before = watch.last_progress
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        assert fed.missed_in == [None]
        assert watch.last_progress > before
        for name in ("filtered", "poison", "new"):
            await asyncio.to_thread(apply, cluster, space, name)
        await fed.until(("ADDED", space, "poison"), ("ADDED", space, "new"))
        await asyncio.to_thread(apply, cluster, space, "new", "other")
        await fed.until(("MODIFIED", space, "new"))
        await asyncio.to_thread(cluster.kubectl, "delete", PLURAL, "new", "-n", space)
        await fed.until(("DELETED", space, "new"))
        assert not task.done()
    assert not [event for event in fed.events if event[2] in ("filtered", "old")]
    assert fed.threads == {threading.main_thread()}
    assert all(type(each) is dict for each in fed.objects)
    # Neither a finalizer nor an annotation of kopf's, and what feed raised is in the log.
    stored = cluster.kubectl("get", PLURAL, "old", "-n", space, "-o", "json")
    assert "kopf" not in stored
    [record] = [each for each in caplog.records if each.exc_info]
    assert getattr(record, "resource", None) == (space, "poison")


async def test_watch_resumes_after_what_it_did_not_forward(
    cluster: Cluster, kube: Kube, namespace: str, proxy: ApiProxy
) -> None:
    fed, line = Fed(), proxy.lines["operator"]
    kubeconfig = proxy.kubeconfig("operator", cluster.token)
    async with watching(kubeconfig, fed, namespace) as (watch, _):
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        await asyncio.to_thread(kube.create_token, namespace, "new")
        await fed.until(("ADDED", namespace, "new"))
        before = watch.last_progress
        created = await asyncio.to_thread(kube.create_token, namespace, "filtered")
        await until(lambda: watch.last_progress > before, lambda: "nothing arrived")
        watches = len(line.watched_from)
        proxy.cut_watches("operator")
        await until(lambda: len(line.watched_from) > watches, lambda: line.watched_from)
    assert line.watched_from[-1] == created["metadata"]["resourceVersion"]
    assert fed.events == [("ADDED", namespace, "new")]


async def test_watch_needs_permissions_on_the_resource_only(
    cluster: Cluster,
    kube: Kube,
    namespaces: Callable[[], str],
    proxy: ApiProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    served, also_served, other = (namespaces() for _ in range(3))
    account = Account(cluster, kube, served)
    for each in (served, also_served):
        account.grant(each, "list", "watch", plurals=[PLURAL])
    fed = Fed()
    kubeconfig = proxy.kubeconfig("operator", account.token)
    async with watching(kubeconfig, fed, served, also_served) as (watch, _):
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        assert sorted(map(str, fed.missed_in)) == sorted([served, also_served])
        for each in (other, also_served, served):
            await asyncio.to_thread(kube.create_token, each, "new")
        await fed.until(("ADDED", also_served, "new"), ("ADDED", served, "new"))
        assert watch.unserved == {}
    assert {where for _, where, _ in fed.events} == {served, also_served}
    assert warnings(caplog) == []


async def test_watch_leaves_signals_and_other_tasks_alone(
    cluster: Cluster, kube: Kube, namespace: str
) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    fed = Fed()
    async with watching(cluster.kubeconfig, fed, namespace) as (watch, _):
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        await asyncio.to_thread(kube.create_token, namespace, "new")
        await fed.until(("ADDED", namespace, "new"))
        bystander = asyncio.create_task(asyncio.sleep(DEADLINE))
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await asyncio.sleep(0.1)
    assert not bystander.done()
    bystander.cancel()


async def test_forbidden_namespace_does_not_disturb_the_others(
    cluster: Cluster,
    kube: Kube,
    namespaces: Callable[[], str],
    proxy: ApiProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From the start on, and after its permissions were granted and revoked again."""
    caplog.set_level(logging.INFO)
    good, bad = namespaces(), namespaces()
    account = Account(cluster, kube, good)
    account.grant(good, "list", "watch")
    fed = Fed()
    kubeconfig = proxy.kubeconfig("operator", account.token)
    async with watching(kubeconfig, fed, good, bad) as (watch, _):
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        await until(lambda: bad in watch.unserved, lambda: caplog.text)
        assert set(watch.unserved) == {bad}
        assert "403 Forbidden: pineconeaccesstokens" in watch.unserved[bad]
        await asyncio.to_thread(kube.create_token, good, "one")
        await fed.until(("ADDED", good, "one"))

        await asyncio.to_thread(account.grant, bad, "list", "watch")
        await until(lambda: not watch.unserved and bad in fed.missed_in, lambda: caplog.text, 40)
        await asyncio.to_thread(kube.create_token, bad, "two")
        await fed.until(("ADDED", bad, "two"))
        await asyncio.sleep(1.2)  # the log's delay

        await asyncio.to_thread(account.revoke, bad)
        proxy.cut_watches("operator")
        await until(lambda: bad in watch.unserved, lambda: caplog.text)
        await asyncio.to_thread(kube.create_token, bad, "three")
        await asyncio.to_thread(kube.create_token, good, "four")
        await fed.until(("ADDED", good, "four"))

        await asyncio.to_thread(account.grant, bad, "list", "watch")
        await fed.until(("ADDED", bad, "three"))
        await until(lambda: not watch.unserved, lambda: caplog.text)
        await asyncio.sleep(1.2)  # the log's delay
    assert fed.missed_in.count(good) == 1
    assert fed.events.count(("ADDED", good, "one")) == 1
    failures, recoveries = (
        [each for each in caplog.messages if part in each]
        for part in ("Failed to watch", "recovered in")
    )
    assert len(failures) == len(recoveries) == 2
    assert all(f"namespace {bad}" in each for each in failures + recoveries)
    assert "ended" not in caplog.text


async def test_deleted_namespace_does_not_disturb_the_others(
    cluster: Cluster,
    kube: Kube,
    namespaces: Callable[[], str],
    proxy: ApiProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, gone = namespaces(), namespaces()
    account = Account(cluster, kube, good)
    for each in (good, gone):
        account.grant(each, "list", "watch")
    fed = Fed()
    kubeconfig = proxy.kubeconfig("operator", account.token)
    async with watching(kubeconfig, fed, good, gone) as (watch, _):
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        await asyncio.to_thread(kube.create_token, gone, "one")
        await fed.until(("ADDED", gone, "one"))
        await asyncio.to_thread(kube.delete, f"/api/v1/namespaces/{gone}")
        # A namespace that terminates is watched like any other, and its resources are deleted.
        await fed.until(("DELETED", gone, "one"))
        path = f"/api/v1/namespaces/{gone}"
        await until(lambda: kube.get(path) is None, lambda: kube.get(path))
        proxy.cut_watches("operator")
        await until(lambda: gone in watch.unserved, lambda: caplog.text)
        await asyncio.to_thread(kube.create_token, good, "two")
        await fed.until(("ADDED", good, "two"))
    assert fed.missed_in.count(good) == 1
    assert "ended" not in caplog.text


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        pytest.param("refusal", 404, id="404"),
        pytest.param("refusal", 500, id="500"),
        pytest.param("fails_watches", True, id="an ERROR event"),
        pytest.param("garbles_watches", True, id="a login page"),
        pytest.param("expires_watches", True, id="410"),
    ],
)
async def test_failure_of_one_namespace_does_not_disturb_the_others(
    cluster: Cluster,
    kube: Kube,
    namespaces: Callable[[], str],
    proxy: ApiProxy,
    caplog: pytest.LogCaptureFixture,
    attribute: str,
    value: object,
) -> None:
    good, bad = namespaces(), namespaces()
    line = proxy.lines["operator"]
    line.scope = f"/{bad}/"
    fed = Fed()
    kubeconfig = proxy.kubeconfig("operator", cluster.token)
    async with watching(kubeconfig, fed, good, bad) as (watch, _):
        await until(lambda: {good, bad} <= set(fed.missed_in), lambda: caplog.text)
        await asyncio.to_thread(kube.create_token, bad, "before")
        await fed.until(("ADDED", bad, "before"))
        setattr(line, attribute, value)
        proxy.cut_watches("operator")
        if attribute != "expires_watches":
            await until(lambda: bad in watch.unserved, lambda: caplog.text)
        await asyncio.to_thread(kube.create_token, bad, "meanwhile")
        await asyncio.to_thread(kube.create_token, good, "meanwhile")
        await fed.until(("ADDED", good, "meanwhile"))
        setattr(line, attribute, None if attribute == "refusal" else False)
        await until(lambda: not watch.unserved, lambda: caplog.text, 40)
        await until_forwarded(kube, fed, bad)
        found = ("ADDED", bad, "meanwhile") in fed.events or fed.missed_in.count(bad) > 1
        assert found
    assert fed.missed_in.count(good) == 1
    assert "ended" not in caplog.text


async def test_watch_waits_for_its_crd_and_survives_its_deletion(
    empty_cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def logged(part: str) -> int:
        return sum(part in each for each in caplog.messages)

    fed = Fed()
    async with watching(empty_cluster.kubeconfig, fed) as (watch, _):
        await until(lambda: logged("install its"), lambda: caplog.text)
        assert watch.begun.is_set()
        assert set(watch.unserved) == {None}
        await asyncio.to_thread(install_crd, empty_cluster)
        # More than once, where the API server is slow to get ready for the kind.
        await until(lambda: fed.missed_in, lambda: caplog.text)
        await asyncio.to_thread(apply, empty_cluster, "default", "first")
        await fed.until(("ADDED", "default", "first"))
        await until(lambda: not watch.unserved, lambda: caplog.text)

        before = logged("install its")
        await asyncio.to_thread(empty_cluster.kubectl, "delete", "-f", str(CRD))
        await until(lambda: logged("install its") > before, lambda: caplog.text)
        missed = len(fed.missed_in)
        await asyncio.to_thread(install_crd, empty_cluster)
        await until(lambda: len(fed.missed_in) > missed, lambda: caplog.text)
        with Kube(empty_cluster) as kube:
            await until_forwarded(kube, fed, "default")
    assert ("DELETED", "default", "first") in fed.events
    assert logged("ended") == 0


async def test_watch_names_the_versions_that_are_served_instead(
    empty_cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    fed = Fed()
    with Kube(empty_cluster) as kube:
        install_crd(empty_cluster)
        path = f"{crds}/{PLURAL}.{GROUP}"
        crd = kube.get(path)
        assert crd is not None
        [version] = crd["spec"]["versions"]
        newer = {**version, "name": "v1beta1", "storage": False}
        kube.patch(path, {"spec": {"versions": [{**version, "served": False}, newer]}})
        # Discovery lags behind: a watch that is established before would go on for minutes.
        eventually(lambda: kube.get(f"/apis/{GROUP}/{VERSION}") is None, "it is not served")
        async with watching(empty_cluster.kubeconfig, fed) as (watch, _):
            await until(
                lambda: "serves v1beta1 instead" in str(watch.unserved), lambda: caplog.text
            )
            await asyncio.to_thread(kube.patch, path, {"spec": {"versions": [version, newer]}})
            await until(lambda: fed.missed_in, lambda: caplog.text)
            await asyncio.to_thread(apply, empty_cluster, "default", "first")
            await fed.until(("ADDED", "default", "first"))


async def test_watch_restarts_when_the_store_is_restored(
    empty_cluster: Cluster, tmp_path: Path
) -> None:
    """Its versions are of the past, so a watch from the latest known one would carry nothing."""
    backup = tmp_path / "backup"
    fed = Fed()

    def change(name: str, times: int) -> None:
        with Kube(empty_cluster) as kube:
            kube.create_token("default", name)
            for number in range(times):
                patch = {"metadata": {"labels": {"n": f"{number}"}}}
                kube.patch(token_path("default", name), patch)

    install_crd(empty_cluster)
    await asyncio.to_thread(empty_cluster.back_up_store, backup)
    async with watching(empty_cluster.kubeconfig, fed, "default") as (watch, _):
        await until(lambda: fed.missed_in, lambda: watch.unserved, 40)
        await asyncio.to_thread(change, "lost", 200)
        await fed.until(("ADDED", "default", "lost"))
        missed = len(fed.missed_in)
        await asyncio.to_thread(empty_cluster.restore_store, backup)
        await until(lambda: len(fed.missed_in) > missed, lambda: watch.unserved, 60)
        with Kube(empty_cluster) as kube:
            await until_forwarded(kube, fed, "default", seconds=30)


async def test_watch_restarts_kopf_when_discovery_fails(
    cluster: Cluster,
    kube: Kube,
    namespace: str,
    proxy: ApiProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = proxy.lines["operator"]
    line.scope, line.refusal = "/api/v1", 401
    fed = Fed()
    kubeconfig = proxy.kubeconfig("operator", cluster.token)
    async with watching(kubeconfig, fed, namespace) as (watch, _):
        await until(lambda: watch.unserved, lambda: caplog.text)
        assert watch.begun.is_set()
        assert "WatchEnded" in watch.unserved[namespace]
        line.refusal = None
        await until(lambda: namespace in fed.missed_in, lambda: caplog.text, 40)
        await until(lambda: not watch.unserved, lambda: caplog.text)
        await asyncio.to_thread(kube.create_token, namespace, "new")
        await fed.until(("ADDED", namespace, "new"))
    assert "The watch of pineconeaccesstokens ended (" in caplog.text


async def test_watch_forwards_a_cluster_scoped_kind(cluster: Cluster, kube: Kube) -> None:
    group, plural = f"{uuid.uuid4().hex[:8]}.example.dev", "clusterthings"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    kube.create(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Cluster",
                "names": {"kind": "ClusterThing", "plural": plural},
                "versions": [version],
            },
        },
    )
    resource = ApiResource(group, "v1", plural, namespaced=False)
    names: list[tuple[str | None, str]] = []
    missed: list[str | None] = []
    async with contextlib.aclosing(await client.connect(cluster.kubeconfig, None)) as api:
        watch = ResourceWatch(
            api,
            resource,
            (),
            feed=lambda type_, obj: names.append((type_, obj["metadata"]["name"])),
            missed=missed.append,
            monotonic=time.monotonic,
            rng=random.Random(1),
        )
        task: asyncio.Task[None] = asyncio.create_task(watch.run())
        try:
            await until(lambda: missed == [None], lambda: watch.unserved)
            thing = {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterThing",
                "metadata": {"name": "one"},
            }
            kube.create(resource.collection(), thing)
            await until(lambda: names == [("ADDED", "one")], lambda: names)
            kube.delete(resource.item(None, "one"))
            await until(lambda: names[1:] == [("DELETED", "one")], lambda: names)
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_watch_stops_at_once_while_the_api_server_is_away(tmp_path: Path) -> None:
    own = Cluster(tmp_path, audit=False)
    with own:
        fed = Fed()
        async with watching(own.kubeconfig, fed):
            await asyncio.to_thread(own.kill_apiserver)
            await asyncio.sleep(0.5)
    assert fed.events == []


async def test_watch_restarts_when_the_cluster_ca_is_rotated(
    cluster: Cluster,
    kube: Kube,
    namespace: str,
    proxy: ApiProxy,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    trusted = tmp_path / "ca.crt"
    trusted.write_bytes(proxy.ca_file.read_bytes())
    config = json.loads(proxy.kubeconfig("operator", cluster.token).read_text())
    config["clusters"][0]["cluster"] = {
        "server": proxy.lines["operator"].url,
        "certificate-authority": str(trusted),
    }
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    fed = Fed()
    async with watching(kubeconfig, fed, namespace) as (watch, _):
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        await asyncio.sleep(5)  # so that the CA is old enough to be read again
        renewed = await asyncio.to_thread(proxy.rotate_ca, tmp_path / "rotated")
        trusted.write_bytes(renewed.read_bytes())
        proxy.cut("operator")
        await asyncio.to_thread(kube.create_token, namespace, "new")
        await until(
            lambda: ("ADDED", namespace, "new") in fed.events or len(fed.missed_in) > 1,
            lambda: caplog.text,
            40,
        )
        await asyncio.to_thread(kube.create_token, namespace, "newer")
        await fed.until(("ADDED", namespace, "newer"))
    assert "CA has changed" in caplog.text
    assert kube.get(token_path(namespace, "newer"))
