"""Steady refreshing: what a refresh costs, how late it is, and what arrives meanwhile.

A schedule of N tokens is like one of 10,000 tokens of 1,800 s if their lives are N / 10,000 of
that: as many refreshes a second.
"""

import bisect
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator

from tests.bench import floor, objects
from tests.bench.figures import Figure, percentile, spread
from tests.bench.place import LIFETIME, Place, place, writes
from tests.bench.progress import say
from tests.bench.settings import Settings
from tests.support.api import token_path

_LIKE = 10_000  # resources
_SHORTEST = 6  # s; tokens of a shorter life are refreshed by whole seconds only
_ARRIVE_EVERY = 0.5


def measure(settings: Settings) -> Iterator[Figure]:
    base = None
    for times in (1, 10):
        lifetime = max(_SHORTEST, round(LIFETIME * settings.resources / _LIKE / times))
        with place(settings.latency, lifetime) as here:
            if base is None:
                base = floor.measure(here)
                yield Figure("CPU of the same requests in a plain loop", base, "ms")
            say(f"creating {settings.resources:,} resources of {lifetime} s")
            objects.create_resources(here.cluster, range(settings.resources))
            start_scattered(here, settings.resources)
            label = f"as {times * _LIKE:,} x {LIFETIME:,} s: "
            for figure in refreshes(here, settings.seconds, base, arrivals=True):
                yield Figure(label + figure.name, figure.value, figure.unit, figure.goal)


def start_scattered(here: Place, resources: int) -> None:
    """Start the operator, and wait until refreshes come evenly."""
    here.endpoint.scattered = True
    here.operator.start()
    here.operator.wait_ready(60)
    say("waiting for the first tokens")
    here.targets.wait_for(resources)
    here.endpoint.scattered = False
    say("waiting for the Events of first tokens")
    here.wait_for_events()


def refreshes(
    here: Place, seconds: int, base: float | None = None, *, arrivals: bool = False
) -> Iterator[Figure]:
    """Measure for some seconds; `base` is the processor time of the requests alone, in ms."""
    say(f"measuring for {seconds} s")
    extra = [f"late-{number}" for number in range(int(seconds / _ARRIVE_EVERY))] if arrivals else []
    objects.create_credentials(here.cluster, extra)
    begin, before = time.monotonic(), here.usage()
    time.sleep(seconds)
    end, after = time.monotonic(), here.usage()
    requests = here.requests(before)
    count = after.exchanges - before.exchanges
    cpu = (after.cpu - before.cpu) * 1000 / count
    yield Figure("refreshes a second", count / (end - begin), "/s")
    yield Figure("CPU a refresh", cpu, "ms", "5 or less")
    if base is not None:
        yield Figure("CPU a refresh, by the plain loop's", cpu / base, "times", "2 or less")
    yield Figure("share of a processor", (after.cpu - before.cpu) / (end - begin) * 100, "%")
    yield Figure("API requests a refresh", requests.total() / count, "", "3")
    yield Figure("writes a refresh", writes(requests) / count, "", "2")
    late = lateness(here, begin, end)
    yield Figure("lateness, p50", percentile(late, 50), "s")
    yield Figure("lateness, p99", percentile(late, 99), "s", "1")
    yield Figure("lateness, longest", percentile(late, 100), "s")
    yield Figure("least life seen, of a whole one", 100 * least_life(here, begin, end), "%")
    yield Figure("memory", here.operator.rss_bytes() / 1e6, "MB")
    if arrivals:
        yield from spread("arrival meanwhile", arrive(here, extra), p50="70", p99="120")


def arrive(here: Place, names: list[str]) -> list[float]:
    """Create resources one by one, and return how long each waited for its target."""
    say(f"creating {len(names)} more, one by one")
    waits = []
    for name in names:
        started = time.monotonic()
        here.kube.create(token_path(objects.NAMESPACE), objects.token_object(name))
        waits.append(here.targets.wait_for_next(objects.token(name), 0).at - started)
        time.sleep(max(0.0, started + _ARRIVE_EVERY - time.monotonic()))
    return waits


def lateness(here: Place, begin: float, end: float) -> list[float]:
    """Return how long after its planned time each exchange was asked for, in seconds."""
    asked = defaultdict(list)
    for client, at in list(here.endpoint.requests):
        asked[client].append(at)
    wall = time.time() - time.monotonic()
    found = []
    for name, sights in list(here.targets.sights.items()):
        moments = asked[objects.client_id(name.removeprefix("token-"))]
        for sight in list(sights):
            following = bisect.bisect(moments, sight.at)
            if following < len(moments) and begin <= moments[following] <= end:
                found.append(moments[following] + wall - sight.refresh_at)
    return found


def least_life(here: Place, begin: float, end: float) -> float:
    """Return the least part of a token's life that was left when the target changed."""
    wall = time.time() - time.monotonic()
    return min(
        (before.expires_at - (after.at + wall)) / (before.expires_at - before.refreshed_at)
        for sights in list(here.targets.sights.values())
        for before, after in itertools.pairwise(sights)
        if begin <= after.at <= end
    )
