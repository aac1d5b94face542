"""Creates many objects at once, faster than kubectl would."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Iterator
from typing import Any

import aiohttp

from tests.support.api import secret_path, token_path
from tests.support.cluster import Cluster
from tests.support.documented import GROUP, KIND, VERSION
from tests.support.encoding import encode

NAMESPACE = "bench"
_CONNECTIONS = 16


def account(number: int | str) -> str:
    return f"account-{number}"


def client_id(number: int | str) -> str:
    return f"id-{number}"


def token(number: int | str) -> str:
    return f"token-{number}"


def credentials_object(number: int | str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": account(number)},
        "data": {
            "client_id": encode(client_id(number)),
            "client_secret": encode(f"secret-{number}-" + 48 * "x"),
        },
    }


def token_object(number: int | str) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": token(number)},
        "spec": {"credentialsSecretRef": {"name": account(number)}},
    }


def create_resources(cluster: Cluster, numbers: Iterable[int | str]) -> None:
    """Create resources, each with credentials of its own."""
    everything = list(numbers)
    create_credentials(cluster, everything)
    _create(cluster, ((token_path(NAMESPACE), token_object(number)) for number in everything))


def create_credentials(cluster: Cluster, numbers: Iterable[int | str]) -> None:
    _create(cluster, ((secret_path(NAMESPACE), credentials_object(number)) for number in numbers))


def create_foreign_secrets(cluster: Cluster, namespace: str, numbers: Iterable[int]) -> None:
    """Create Secrets like those of other programs: certificates and keys."""

    def secret(number: int) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": f"foreign-{number}",
                "labels": {"app.kubernetes.io/name": "other", "app.kubernetes.io/part-of": "more"},
            },
            "data": {"tls.crt": encode(1500 * "c"), "tls.key": encode(227 * "k")},
        }

    _create(cluster, ((secret_path(namespace), secret(number)) for number in numbers))


def _create(cluster: Cluster, objects: Iterable[tuple[str, dict[str, Any]]]) -> None:
    asyncio.run(_create_all(cluster, iter(objects)))


async def _create_all(cluster: Cluster, objects: Iterator[tuple[str, dict[str, Any]]]) -> None:
    trust = ssl.create_default_context(cafile=cluster.ca_file)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust, limit=0),
        headers={"Authorization": f"Bearer {cluster.token}"},
        trust_env=False,
    ) as session:

        async def work() -> None:
            for path, obj in objects:  # each worker takes the next
                await _create_one(session, cluster.url + path, obj)

        async with asyncio.TaskGroup() as group:
            for _ in range(_CONNECTIONS):
                group.create_task(work())


async def _create_one(session: aiohttp.ClientSession, url: str, obj: dict[str, Any]) -> None:
    while True:
        async with session.post(url, json=obj) as response:
            if response.status == 429:  # it cannot store the kind yet, or is busy
                await asyncio.sleep(0.1)
                continue
            if response.status != 201:
                raise RuntimeError(f"{url} answered {response.status}: {await response.text()}")
            with contextlib.suppress(aiohttp.ClientError):
                await response.read()
            return
