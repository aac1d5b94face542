"""Several operators share the work; then one more is added."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import objects
from tests.bench.environment import Environment, environment, writes
from tests.bench.figures import Figure
from tests.bench.progress import say
from tests.bench.settings import Settings
from tests.support.operator_process import Operator

_LIFETIME = 12 * 3600  # in seconds: nothing is refreshed while many shards start


def measure(settings: Settings) -> Iterator[Figure]:
    resources = settings.shards * settings.resources
    with environment(settings.latency, _LIFETIME, python=settings.python) as env:
        say(f"creating {resources:,} resources")
        objects.create_resources(env.cluster, range(resources))
        yield from _first_tokens(env, settings.shards, resources)
        yield from _one_more(env, settings.shards + 1, resources)


def _first_tokens(env: Environment, shards: int, resources: int) -> Iterator[Figure]:
    before = env.usage()
    started = time.monotonic()
    with _running(env, shards) as operators:
        say("waiting for the first tokens")
        took = env.targets.wait_for(resources) - started
        env.wait_until_settled(resources, operators)
        exchanges = env.endpoint.exchanges - before.exchanges
        cpu = sum(each.cpu_seconds() for each in operators)
        served = [each.metric("pinecone_token_exchanges_total") for each in operators]
        peak = max(each.peak_rss_bytes() for each in operators)
    yield Figure(f"{resources:,} resources, until all have tokens", took, "s")
    yield Figure("new resources a second", resources / took, "/s", "100 or more")
    yield Figure("exchanges a resource", exchanges / resources, "", "1")
    yield Figure("CPU a resource, including the start", cpu * 1000 / resources, "ms")
    yield Figure(
        "load of the busiest, relative to an even share", max(served) * shards / sum(served)
    )
    yield Figure("memory of the largest, highest", peak / 1e6, "MB", "200 at N=10,000")


def _one_more(env: Environment, shards: int, resources: int) -> Iterator[Figure]:
    before = env.usage()
    started = time.monotonic()
    with _running(env, shards) as operators:
        ready = time.monotonic() - started
        settled = env.wait_until_settled(resources, operators) - started
        requests = env.requests(before)
    for what in [what for what in requests if what.endswith(" leases")]:
        del requests[what]
    yield Figure(f"{shards} shards instead: until all are ready", ready, "s")
    yield Figure("until all are reconciled", settled, "s")
    yield Figure("exchanges", env.endpoint.exchanges - before.exchanges, "", "0")
    yield Figure("writes", writes(requests), "", "0")


@contextmanager
def _running(env: Environment, shards: int) -> Iterator[list[Operator]]:
    say(f"starting {shards} shards")
    operators = [
        env.another_operator(
            f"shard-{index}-of-{shards}",
            f"--shard={index}/{shards}",
            "--leader-elect",
            f"--leader-election-namespace={objects.NAMESPACE}",
        )
        for index in range(shards)
    ]
    for each in operators:
        each.start()
    for each in operators:
        each.wait_ready(600)  # on two cores, four lists of 100,000 take minutes
    yield operators
    for each in operators:
        each.stop()
