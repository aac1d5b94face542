"""N resources exist, the operator starts; and new ones that come meanwhile."""

import time
from collections.abc import Iterator

from tests.bench import objects
from tests.bench.figures import Figure, spread
from tests.bench.place import Place, place
from tests.bench.progress import say
from tests.bench.settings import Settings
from tests.support.api import token_path

_ARRIVE_EVERY = 0.2
_MOST_ARRIVALS = 1000


def measure(settings: Settings) -> Iterator[Figure]:
    with place(settings.latency) as here:
        say(f"creating {settings.resources:,} resources")
        objects.create_resources(here.cluster, range(settings.resources))
        yield from first_tokens(here, settings.resources, arrivals=True)


def first_tokens(here: Place, resources: int, *, arrivals: bool = False) -> Iterator[Figure]:
    """Start the operator, and measure until all resources have a token."""
    extra = [f"late-{number}" for number in range(_MOST_ARRIVALS)] if arrivals else []
    objects.create_credentials(here.cluster, extra)
    before = here.usage()
    started = time.monotonic()
    here.operator.start()
    here.operator.wait_ready(60)
    say(f"ready after {time.monotonic() - started:.1f} s; waiting for the first tokens")
    here.targets.wait_for(1)
    born: dict[str, float] = {}
    while len(here.targets.sights) < resources + len(born):
        if arrivals and len(born) < len(extra):
            name = extra[len(born)]
            born[objects.token(name)] = time.monotonic()
            here.kube.create(token_path(objects.NAMESPACE), objects.token_object(name))
        time.sleep(_ARRIVE_EVERY)
    last = here.targets.wait_for(resources + len(born))
    here.wait_until_settled()
    cpu = here.operator.cpu_seconds()
    exchanges = here.endpoint.exchanges - before.exchanges
    everything = resources + len(born)
    yield Figure("until the last first token", last - started, "s")
    yield Figure("new resources a second", everything / (last - started), "/s", "100 or more")
    yield Figure("CPU a new resource, start included", cpu * 1000 / everything, "ms")
    yield Figure("exchanges a new resource", exchanges / everything, "", "1")
    yield Figure("memory, highest", here.operator.peak_rss_bytes() / 1e6, "MB")
    if born:
        waits = [here.targets.sights[name][0].at - at for name, at in born.items()]
        yield from spread("arrival amid the burst", waits, p99="500 at N=10,000")
