"""The operator starts where N resources exist, and more are created meanwhile."""

import time
from collections.abc import Iterator

from tests.bench import objects
from tests.bench.environment import Environment, environment
from tests.bench.figures import Figure, spread
from tests.bench.progress import say
from tests.bench.settings import Settings
from tests.support.api import token_path

_ARRIVE_EVERY = 0.2
_MOST_ARRIVALS = 1000


def measure(settings: Settings) -> Iterator[Figure]:
    with environment(settings.latency, python=settings.python) as env:
        say(f"creating {settings.resources:,} resources")
        objects.create_resources(env.cluster, range(settings.resources))
        yield from first_tokens(env, settings.resources, arrivals=True)


def first_tokens(env: Environment, resources: int, *, arrivals: bool = False) -> Iterator[Figure]:
    """Start the operator and measure until all resources have a token."""
    extra = [f"late-{number}" for number in range(_MOST_ARRIVALS)] if arrivals else []
    objects.create_credentials(env.cluster, extra)
    before = env.usage()
    started = time.monotonic()
    env.operator.start()
    env.operator.wait_ready(60)
    say(f"ready after {time.monotonic() - started:.1f} s; waiting for the first tokens")
    env.targets.wait_for(1)
    created: dict[str, float] = {}
    while len(env.targets.versions) < resources + len(created):
        if arrivals and len(created) < len(extra):
            name = extra[len(created)]
            created[objects.token(name)] = time.monotonic()
            env.kube.create(token_path(objects.NAMESPACE), objects.token_object(name))
        time.sleep(_ARRIVE_EVERY)
    last = env.targets.wait_for(resources + len(created))
    env.wait_until_settled()
    cpu = env.operator.cpu_seconds()
    exchanges = env.endpoint.exchanges - before.exchanges
    everything = resources + len(created)
    yield Figure("until the last first token", last - started, "s")
    yield Figure("new resources a second", everything / (last - started), "/s", "100 or more")
    yield Figure("CPU a new resource, including the start", cpu * 1000 / everything, "ms")
    yield Figure("exchanges a new resource", exchanges / everything, "", "1")
    yield Figure("memory, highest", env.operator.peak_rss_bytes() / 1e6, "MB")
    if created:
        waits = [env.targets.versions[name][0].at - at for name, at in created.items()]
        yield from spread("new resource during the burst", waits, p99="500 at N=10,000")
