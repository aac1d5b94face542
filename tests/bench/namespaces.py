"""One token in many namespaces: first copies, refreshes, a restart, and new namespaces."""

import time
from collections.abc import Iterator
from typing import Any

from tests.bench import objects
from tests.bench.environment import Environment, Usage, environment, writes
from tests.bench.figures import Figure, spread
from tests.bench.progress import say
from tests.bench.settings import Settings
from tests.support.api import eventually
from tests.support.crd import install_crd
from tests.support.documented import (
    CLUSTER_KIND,
    CLUSTER_PLURAL,
    GROUP,
    REFRESH_REQUESTED_AT,
    VERSION,
)
from tests.support.repository import CLUSTER_CRD

_PATH = f"/apis/{GROUP}/{VERSION}/{CLUSTER_PLURAL}"
_LABEL = "bench.example/token"
_ARRIVALS = 30
_PATIENCE = 300.0


def measure(settings: Settings) -> Iterator[Figure]:
    """Measure 1 resource with N copies, and a tenth of N resources with as many copies each."""
    many = max(10, settings.resources // 10)
    for resources, namespaces in ((1, settings.resources), (many, many)):
        with environment(settings.latency, python=settings.python) as env:
            label = f"{resources:,} x {namespaces:,}: "
            for figure in _copies(env, resources, namespaces):
                yield Figure(label + figure.name, figure.value, figure.unit, figure.goal)


def _copies(env: Environment, resources: int, namespaces: int) -> Iterator[Figure]:
    copies = resources * namespaces
    install_crd(env.cluster, CLUSTER_CRD, CLUSTER_PLURAL)
    say(f"creating {namespaces:,} namespaces")
    for number in range(namespaces):
        _add_namespace(env, f"team-{number}")
    objects.create_credentials(env.cluster, range(resources))
    env.operator = env.another_operator(
        "cluster-tokens",
        "--enable-cluster-access-tokens",
        f"--cluster-resource-namespace={objects.NAMESPACE}",
    )
    env.operator.start()
    env.operator.wait_ready(60)
    idle = env.operator.rss_bytes()

    say(f"creating {resources:,} resources")
    before, started = env.usage(), time.monotonic()
    for number in range(resources):
        env.kube.create(_PATH, _resource(number))
    _wait(env, resources, namespaces, "")
    yield Figure("first copies", time.monotonic() - started, "s")
    yield from _cost(env, before, copies, "first copies")
    yield Figure("memory a copy", (env.operator.rss_bytes() - idle) / copies / 1000, "kB")

    for round_ in ("warm", "refresh"):
        say(f"refreshing all: {round_}")
        before, started = env.usage(), time.monotonic()
        _request_refresh(env, resources, round_)
        _wait(env, resources, namespaces, round_)
    yield Figure("refresh of all copies", time.monotonic() - started, "s")
    yield from _cost(env, before, copies, "refresh")

    say("restarting the operator")
    env.operator.stop()
    before, started = env.usage(), time.monotonic()
    env.operator.start()
    env.operator.wait_ready(60)
    settled = env.wait_until_settled(resources)
    requests = env.requests(before)
    yield Figure("restart until all are reconciled", settled - started, "s")
    yield Figure("restart: exchanges", env.endpoint.exchanges - before.exchanges, "", "0")
    yield Figure("restart: writes", writes(requests), "", "0")
    yield Figure("restart: API requests a copy", requests.total() / copies)

    if resources == 1:
        waits = _arrivals(env, resources)
        yield from spread("new namespace to its copy during refreshes", waits, p99="1000")


def _cost(env: Environment, before: Usage, copies: int, what: str) -> Iterator[Figure]:
    after = env.usage()
    requests = env.requests(before)
    yield Figure(f"{what}: exchanges", after.exchanges - before.exchanges)
    yield Figure(f"{what}: API requests a copy", requests.total() / copies, "", "1")
    yield Figure(f"{what}: CPU a copy", (after.cpu - before.cpu) * 1000 / copies, "ms")


def _arrivals(env: Environment, resources: int) -> list[float]:
    """Create namespaces while all copies are refreshed again and again."""
    say(f"creating {_ARRIVALS} namespaces during refreshes")
    waits = []
    for number in range(_ARRIVALS):
        _request_refresh(env, resources, f"again-{number}")
        time.sleep(0.3)
        name = f"late-{number}"
        started = time.monotonic()
        _add_namespace(env, name)
        _wait_for_copy(env, name)
        waits.append(time.monotonic() - started)
    return waits


def _wait_for_copy(env: Environment, namespace: str) -> None:
    def exists() -> bool:
        return env.kube.secret_object(namespace, objects.token(0)) is not None

    eventually(exists, "the new namespace has its copy", _PATIENCE, poll=0.005)


def _add_namespace(env: Environment, name: str) -> None:
    body = {"metadata": {"name": name, "labels": {_LABEL: "true"}}}
    env.kube.create("/api/v1/namespaces", body)


def _request_refresh(env: Environment, resources: int, value: str) -> None:
    patch = {"metadata": {"annotations": {REFRESH_REQUESTED_AT: value}}}
    for number in range(resources):
        env.kube.patch(f"{_PATH}/{objects.token(number)}", patch)


def _wait(env: Environment, resources: int, namespaces: int, request: str) -> None:
    """Wait until all copies hold a token that serves the request."""

    def done() -> bool:
        items = (env.kube.get(_PATH) or {})["items"]
        statuses = [one.get("status") or {} for one in items]
        return len(items) == resources and all(
            (one.get("targets") or {}).get("summary") == f"{namespaces}/{namespaces}"
            and one.get("lastHandledRefreshRequest", "") == request
            for one in statuses
        )

    eventually(done, "all copies hold the token", _PATIENCE, poll=0.1)


def _resource(number: int) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": CLUSTER_KIND,
        "metadata": {"name": objects.token(number)},
        "spec": {
            "credentialsSecretRef": {"name": objects.account(number)},
            "namespaceSelector": {"matchLabels": {_LABEL: "true"}},
        },
    }
