"""The operator restarts while all tokens are fresh."""

import time
from collections.abc import Iterator

from tests.bench import objects
from tests.bench.burst import first_tokens
from tests.bench.environment import Environment, environment, writes
from tests.bench.figures import Figure
from tests.bench.progress import say
from tests.bench.settings import Settings


def measure(settings: Settings) -> Iterator[Figure]:
    with environment(settings.latency, python=settings.python) as env:
        say(f"creating {settings.resources:,} resources")
        objects.create_resources(env.cluster, range(settings.resources))
        list(first_tokens(env, settings.resources))
        yield from restart(env, settings.resources)


def restart(env: Environment, resources: int) -> Iterator[Figure]:
    """Restart the operator and measure until it has reconciled all resources."""
    say("restarting the operator")
    stopping = time.monotonic()
    env.operator.stop()
    stopped = time.monotonic()
    before = env.usage()
    env.operator.start()
    env.operator.wait_ready(60)
    ready = time.monotonic()
    ready_cpu = env.operator.cpu_seconds()
    settled = env.wait_until_settled(resources)
    cpu = env.operator.cpu_seconds()
    requests = env.requests(before)
    spent = env.endpoint.exchanges - before.exchanges
    yield Figure("until stopped", stopped - stopping, "s", "10 at most")
    yield Figure("until ready", ready - stopped, "s", "10 at N=10,000")
    yield Figure("until all are reconciled", settled - stopped, "s")
    yield Figure("CPU until ready", ready_cpu, "s")
    yield Figure("CPU until all are reconciled", cpu, "s")
    yield Figure("exchanges", spent, "", "0")
    yield Figure("writes", writes(requests), "", "0")
    yield Figure("API requests", requests.total())
    yield Figure("of these, Secrets read", requests["get secrets"], "", str(resources))
    yield Figure("memory", env.operator.rss_bytes() / 1e6, "MB", "200 at N=10,000")
    yield Figure("memory, highest", env.operator.peak_rss_bytes() / 1e6, "MB")
