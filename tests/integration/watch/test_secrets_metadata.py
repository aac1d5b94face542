"""The watch of Secrets alone, against the API server: what it tells and what it doesn't."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest

from pinecone_token_operator.kube import client as operator_kube
from pinecone_token_operator.watch.secrets_metadata import Key, SecretReflector
from tests.support.api import Kube, secret_path
from tests.support.cluster import Cluster

_PATIENCE_SECONDS = 15.0


class Told:
    """A running watch and the Secrets that it tells of."""

    def __init__(self, api: operator_kube.Api, namespace: str) -> None:
        self.keys: asyncio.Queue[Key] = asyncio.Queue()
        self.watch = SecretReflector(
            api,
            namespace,
            is_wanted=lambda key: key[1].startswith("wanted"),
            changed=self.keys.put_nowait,
            monotonic=time.monotonic,
            rng=random.Random(1),
        )

    async def next(self) -> str:
        """Return the name of the next Secret that is told of."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return (await self.keys.get())[1]


@pytest.fixture
async def told(cluster: Cluster, namespace: str) -> AsyncIterator[Told]:
    api = await operator_kube.connect(cluster.kubeconfig, None)
    try:
        yield Told(api, namespace)
    finally:
        await api.aclose()


@pytest.fixture
async def running(told: Told) -> AsyncIterator[Told]:
    task = asyncio.create_task(told.watch.run())
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await told.watch.synced.wait()
    yield told
    task.cancel()
    await asyncio.wait({task})


async def test_only_wanted_secrets_are_told(kube: Kube, namespace: str, running: Told) -> None:
    kube.create_secret(namespace, "foreign", {})
    kube.create_secret(namespace, "wanted", {})
    assert await running.next() == "wanted"
    kube.patch(secret_path(namespace, "foreign"), {"metadata": {"labels": {"a": "b"}}})
    kube.patch(secret_path(namespace, "wanted"), {"metadata": {"labels": {"a": "b"}}})
    assert await running.next() == "wanted"
    kube.delete(secret_path(namespace, "wanted"))
    assert await running.next() == "wanted"
    assert running.keys.empty()


async def test_what_one_reader_has_noted_is_still_told_to_the_others(
    kube: Kube, namespace: str, told: Told
) -> None:
    # One resource reads a Secret that another did not find a moment before.
    metadata = kube.create_secret(namespace, "wanted-by-two", {})["metadata"]
    told.watch.note((namespace, "wanted-by-two"), metadata["uid"], metadata["resourceVersion"])
    task = asyncio.create_task(told.watch.run())
    assert await told.next() == "wanted-by-two"  # by the list

    metadata = kube.create_secret(namespace, "wanted-too", {})["metadata"]
    told.watch.note((namespace, "wanted-too"), metadata["uid"], metadata["resourceVersion"])
    assert await told.next() == "wanted-too"  # by an event
    task.cancel()
    await asyncio.wait({task})


async def test_an_event_that_a_reply_overtook_changes_nothing(
    kube: Kube, namespace: str, running: Told
) -> None:
    key = namespace, "wanted"
    kube.create_secret(namespace, "wanted", {})
    assert await running.next() == "wanted"
    running.watch.note(key, "uid", "9" * 18)  # newer than whatever the server will tell
    kube.delete(secret_path(namespace, "wanted"))
    kube.create_secret(namespace, "wanted-next", {})
    assert await running.next() == "wanted-next"
    assert running.watch.resource_version(key) == "9" * 18
