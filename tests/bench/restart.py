"""The operator starts where all tokens are fresh."""

import time
from collections.abc import Iterator

from tests.bench import objects
from tests.bench.burst import first_tokens
from tests.bench.figures import Figure
from tests.bench.place import Place, place, writes
from tests.bench.progress import say
from tests.bench.settings import Settings


def measure(settings: Settings) -> Iterator[Figure]:
    with place(settings.latency) as here:
        say(f"creating {settings.resources:,} resources")
        objects.create_resources(here.cluster, range(settings.resources))
        list(first_tokens(here, settings.resources))
        yield from restart(here, settings.resources)


def restart(here: Place, resources: int) -> Iterator[Figure]:
    """Stop the operator and start it, and measure until it has looked at all resources."""
    say("restarting the operator")
    stopping = time.monotonic()
    here.operator.stop()
    stopped = time.monotonic()
    before = here.usage()
    here.operator.start()
    here.operator.wait_ready(60)
    ready = time.monotonic()
    ready_cpu = here.operator.cpu_seconds()
    settled = here.wait_until_settled(resources)
    cpu = here.operator.cpu_seconds()
    requests = here.requests(before)
    spent = here.endpoint.exchanges - before.exchanges
    yield Figure("until stopped", stopped - stopping, "s", "10 at most")
    yield Figure("until ready", ready - stopped, "s", "10 at N=10,000")
    yield Figure("until all were looked at", settled - stopped, "s")
    yield Figure("CPU until ready", ready_cpu, "s")
    yield Figure("CPU until all were looked at", cpu, "s")
    yield Figure("exchanges", spent, "", "0")
    yield Figure("writes", writes(requests), "", "0")
    yield Figure("API requests a resource", requests.total() / resources)
    yield Figure("memory", here.operator.rss_bytes() / 1e6, "MB", "200 at N=10,000")
    yield Figure("memory, highest", here.operator.peak_rss_bytes() / 1e6, "MB")
