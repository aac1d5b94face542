"""What a shard holds of the resources of the other shards, with the same ones of its own."""

import itertools
import time
from collections.abc import Iterator

from pinecone_token_operator.config.shard import Shard
from tests.bench import objects
from tests.bench.burst import first_tokens
from tests.bench.environment import Environment, environment
from tests.bench.figures import Figure
from tests.bench.progress import say
from tests.bench.restart import restart
from tests.bench.settings import Settings

_SETTLED_SECONDS = 3.0
_COMPARED = ("until ready", "CPU until ready", "memory", "memory, highest")


def measure(settings: Settings) -> Iterator[Figure]:
    """Measure one shard without and with the others' resources; no operator serves these."""
    own, shards = settings.resources, settings.shards
    with environment(settings.latency, python=settings.python) as env:
        env.operator = env.another_operator("shard", f"--shard=0/{shards}")
        say(f"creating {own:,} resources of one shard")
        objects.create_resources(env.cluster, _numbers(own, shards, is_own=True))
        list(first_tokens(env, own))
        without = {figure.name: figure for figure in restart(env, own)}
        others = own * (shards - 1)
        say(f"creating {others:,} resources of the other shards")
        before = env.operator.rss_bytes()
        objects.create_resources(env.cluster, _numbers(others, shards, is_own=False))
        time.sleep(_SETTLED_SECONDS)
        yield Figure(f"memory that {others:,} events add", _added(env, before), "MB")
        with_them = {figure.name: figure for figure in restart(env, own)}
    for name in _COMPARED:
        yield Figure(f"{own:,} alone: {name}", without[name].value, without[name].unit)
        yield Figure(f"beside {others:,}: {name}", with_them[name].value, with_them[name].unit)


def _added(env: Environment, before: int) -> float:
    return (env.operator.rss_bytes() - before) / 1e6


def _numbers(count: int, shards: int, *, is_own: bool) -> Iterator[int]:
    """Return the numbers of resources whose targets belong to the first shard, or to others."""

    def belongs(number: int) -> bool:
        return Shard(count=shards).has(objects.NAMESPACE, objects.token(number)) == is_own

    return itertools.islice(filter(belongs, itertools.count()), count)
