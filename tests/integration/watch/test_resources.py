"""kopf against a real API server: what is fed, and that nothing ends the feed for good."""

import asyncio
import contextlib
import json
import logging
import random
import signal
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION
from pinecone_token_operator.kube import client
from pinecone_token_operator.kube.paths import ApiResource
from pinecone_token_operator.watch.resources import ResourceWatch
from tests.support.cluster import Cluster
from tests.support.kubeconfig import write_kubeconfig
from tests.support.repository import CRD

DEADLINE = 15.0
Event = tuple[str | None, str, str]


class Fed:
    """What was fed, as (type, namespace, name)."""

    def __init__(self) -> None:
        self.times_missed = 0
        self.events: list[Event] = []
        self.objects: list[dict[str, Any]] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, event_type: str | None, obj: dict[str, Any]) -> None:
        self.threads.add(threading.current_thread())
        self.objects.append(obj)
        self.events.append((event_type, obj["metadata"]["namespace"], obj["metadata"]["name"]))
        if obj["metadata"]["name"] == "poison":
            raise ValueError("cannot take it")

    def missed(self) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.times_missed += 1

    async def until(self, *wanted: Event) -> None:
        await until(lambda: set(wanted) <= set(self.events), lambda: f"{wanted}: {self.events}")


def predicate(_: object, obj: Mapping[str, Any]) -> bool:
    return bool(obj["metadata"]["name"] != "no-news")


async def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def watching(
    kubeconfig: Path, fed: Fed, *namespaces: str
) -> AsyncIterator[tuple[ResourceWatch, "asyncio.Task[None]"]]:
    api = await client.connect(kubeconfig, None)
    watch = ResourceWatch(
        api,
        ApiResource(GROUP, VERSION, PLURAL),
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


def namespace(cluster: Cluster) -> str:
    name = f"watched-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    return name


def apply(cluster: Cluster, where: str, name: str, secret: str = "account") -> None:
    manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "PineconeAccessToken",
        "metadata": {"name": name, "namespace": where},
        "spec": {"credentialsSecretRef": {"name": secret}},
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))


def install_crd(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--server-side", "-f", str(CRD))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRD))


def kubeconfig_of_reader(cluster: Cluster, directory: Path, *namespaces: str) -> Path:
    """Return the kubeconfig of an account that may list and watch the resources, and no more."""
    kubectl = cluster.kubectl
    home = namespaces[0]
    kubectl("create", "serviceaccount", "reader", "-n", home)
    for each in namespaces:
        may = ("--verb=list,watch", f"--resource={PLURAL}.{GROUP}")
        kubectl("create", "role", "reader", *may, "-n", each)
        who = ("--role=reader", f"--serviceaccount={home}:reader")
        kubectl("create", "rolebinding", "reader", *who, "-n", each)
    user = {"token": kubectl("create", "token", "reader", "-n", home).strip()}
    return write_kubeconfig(directory / "reader.kubeconfig", cluster.url, cluster.ca_file, user)


async def test_tells_each_change_but_not_what_exists(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    space = namespace(cluster)
    apply(cluster, space, "old")
    fed = Fed()
    async with watching(cluster.kubeconfig, fed) as (watch, task):
        before = watch.last_progress
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        assert fed.times_missed == 1
        assert watch.last_progress > before
        for name in ("no-news", "poison", "new"):
            await asyncio.to_thread(apply, cluster, space, name)
        await fed.until(("ADDED", space, "poison"), ("ADDED", space, "new"))
        await asyncio.to_thread(apply, cluster, space, "new", "other")
        await fed.until(("MODIFIED", space, "new"))
        await asyncio.to_thread(cluster.kubectl, "delete", PLURAL, "new", "-n", space)
        await fed.until(("DELETED", space, "new"))
        assert not task.done()
    assert not [event for event in fed.events if event[2] in ("no-news", "old")]
    assert fed.threads == {threading.main_thread()}
    assert all(type(each) is dict for each in fed.objects)
    # Neither a finalizer nor an annotation of kopf's, and what feed raised is in the log.
    stored = cluster.kubectl("get", PLURAL, "old", "-n", space, "-o", "json")
    assert "kopf" not in stored
    [record] = [each for each in caplog.records if each.exc_info]
    assert getattr(record, "resource", None) == (space, "poison")


async def test_watches_given_namespaces_with_rights_on_the_resource_alone(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served, also_served, other = (namespace(cluster) for _ in range(3))
    reader = kubeconfig_of_reader(cluster, tmp_path, served, also_served)
    fed = Fed()
    async with watching(reader, fed, served, also_served) as (watch, _):
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        assert fed.times_missed == 1  # not before both are watched
        for each in (other, also_served, served):
            await asyncio.to_thread(apply, cluster, each, "new")
        await fed.until(("ADDED", also_served, "new"), ("ADDED", served, "new"))
    assert {where for _, where, _ in fed.events} == {served, also_served}
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_leaves_signals_and_the_tasks_of_others_alone(cluster: Cluster) -> None:
    space = namespace(cluster)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    fed = Fed()
    async with watching(cluster.kubeconfig, fed, space) as (watch, _):
        await asyncio.wait_for(watch.begun.wait(), DEADLINE)
        await asyncio.to_thread(apply, cluster, space, "new")
        await fed.until(("ADDED", space, "new"))
        bystander = asyncio.create_task(asyncio.sleep(DEADLINE))
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await asyncio.sleep(0.1)
    assert not bystander.done()
    bystander.cancel()


async def test_finds_a_crd_installed_later_and_again_after_its_deletion(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def messages(part: str) -> list[str]:
        return [each for each in (one.getMessage() for one in caplog.records) if part in each]

    fed = Fed()
    with Cluster(tmp_path, audit=False) as own:
        async with watching(own.kubeconfig, fed) as (watch, _):
            await until(lambda: bool(messages("install its")), lambda: caplog.text)
            assert watch.begun.is_set()
            await asyncio.to_thread(install_crd, own)
            await until(lambda: fed.times_missed == 1, lambda: caplog.text)
            await asyncio.to_thread(apply, own, "default", "first")
            await fed.until(("ADDED", "default", "first"))
            assert len(messages("install its")) == 1

            await asyncio.to_thread(own.kubectl, "delete", "-f", str(CRD))
            await until(lambda: bool(messages("ended")), lambda: caplog.text)
            await asyncio.to_thread(install_crd, own)
            await until(lambda: fed.times_missed == 2, lambda: caplog.text)
            await asyncio.to_thread(apply, own, "default", "second")
            await fed.until(("ADDED", "default", "second"))
    assert ("DELETED", "default", "first") in fed.events
    assert len(messages("ended")) == 1


async def test_stops_at_once_while_it_waits_for_an_api_server(tmp_path: Path) -> None:
    own = Cluster(tmp_path, audit=False)
    with own:
        fed = Fed()
        async with watching(own.kubeconfig, fed):
            await asyncio.to_thread(own.kill_apiserver)
            await asyncio.sleep(0.5)
    assert fed.events == []
