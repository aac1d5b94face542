"""Steady refreshing: the cost of a refresh, how late it is, and new resources meanwhile.

N tokens cause as many refreshes a second as 10,000 tokens that live 1,800 s if their lifetimes are
N / 10,000 of that.
"""

import bisect
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator

from tests.bench import floor, objects
from tests.bench.environment import LIFETIME, Environment, environment, writes
from tests.bench.figures import Figure, percentile, spread
from tests.bench.progress import say
from tests.bench.settings import Settings
from tests.support.api import token_path

_LIKE = 10_000  # resources
_SHORTEST = 6  # seconds; for shorter lifetimes the rounding to whole seconds matters
_ARRIVE_EVERY = 0.5


def measure(settings: Settings) -> Iterator[Figure]:
    base = None
    for times in (1, 10):
        lifetime = max(_SHORTEST, round(LIFETIME * settings.resources / _LIKE / times))
        with environment(settings.latency, lifetime, python=settings.python) as env:
            if base is None:
                base = floor.measure(env)
                yield Figure("CPU of the same requests in a plain loop", base, "ms")
            say(f"creating {settings.resources:,} resources whose tokens live {lifetime} s")
            objects.create_resources(env.cluster, range(settings.resources))
            start_scattered(env, settings.resources)
            label = f"as {times * _LIKE:,} x {LIFETIME:,} s: "
            for figure in refreshes(env, settings.seconds, base, arrivals=True):
                yield Figure(label + figure.name, figure.value, figure.unit, figure.goal)


def start_scattered(env: Environment, resources: int) -> None:
    """Start the operator and wait until refreshes are spread evenly."""
    env.endpoint.scattered = True
    env.operator.start()
    env.operator.wait_ready(60)
    say("waiting for the first tokens")
    env.targets.wait_for(resources)
    env.endpoint.scattered = False
    say("waiting for the Events of first tokens")
    env.wait_for_events()


def refreshes(
    env: Environment, seconds: int, base: float | None = None, *, arrivals: bool = False
) -> Iterator[Figure]:
    """Measure for some seconds.

    Args:
        env: the environment.
        seconds: how long.
        base: the processor time of the requests alone, in milliseconds.
        arrivals: whether to create more resources meanwhile.
    """
    say(f"measuring for {seconds} s")
    extra = [f"late-{number}" for number in range(int(seconds / _ARRIVE_EVERY))] if arrivals else []
    objects.create_credentials(env.cluster, extra)
    begin, before = time.monotonic(), env.usage()
    time.sleep(seconds)
    end, after = time.monotonic(), env.usage()
    requests = env.requests(before)
    count = after.exchanges - before.exchanges
    cpu = (after.cpu - before.cpu) * 1000 / count
    yield Figure("refreshes a second", count / (end - begin), "/s")
    yield Figure("CPU a refresh", cpu, "ms", "5 or less")
    if base is not None:
        yield Figure("CPU a refresh, relative to the plain loop", cpu / base, "times", "2 or less")
    yield Figure("share of a processor", (after.cpu - before.cpu) / (end - begin) * 100, "%")
    yield Figure("API requests a refresh", requests.total() / count, "", "3")
    yield Figure("writes a refresh", writes(requests) / count, "", "2")
    late = lateness(env, begin, end)
    yield Figure("lateness, p50", percentile(late, 50), "s")
    yield Figure("lateness, p99", percentile(late, 99), "s", "1")
    yield Figure("lateness, longest", percentile(late, 100), "s")
    yield Figure("shortest remaining lifetime", 100 * shortest_lifetime(env, begin, end), "%")
    yield Figure("memory", env.operator.rss_bytes() / 1e6, "MB")
    if arrivals:
        yield from spread("new resource meanwhile", arrive(env, extra), p50="70", p99="120")


def arrive(env: Environment, names: list[str]) -> list[float]:
    """Create resources one by one; return how many seconds each waited for its target."""
    say(f"creating {len(names)} more, one by one")
    waits = []
    for name in names:
        started = time.monotonic()
        env.kube.create(token_path(objects.NAMESPACE), objects.token_object(name))
        waits.append(env.targets.wait_for_next(objects.token(name), 0).at - started)
        time.sleep(max(0.0, started + _ARRIVE_EVERY - time.monotonic()))
    return waits


def lateness(env: Environment, begin: float, end: float) -> list[float]:
    """Return how many seconds after its planned time each exchange was requested."""
    asked = defaultdict(list)
    for client, at in list(env.endpoint.requests):
        asked[client].append(at)
    wall = time.time() - time.monotonic()
    found = []
    for name, versions in list(env.targets.versions.items()):
        moments = asked[objects.client_id(name.removeprefix("token-"))]
        for version in list(versions):
            following = bisect.bisect(moments, version.at)
            if following < len(moments) and begin <= moments[following] <= end:
                found.append(moments[following] + wall - version.refresh_at)
    return found


def shortest_lifetime(env: Environment, begin: float, end: float) -> float:
    """Return the smallest fraction of a token's lifetime that was left when it was replaced."""
    wall = time.time() - time.monotonic()
    return min(
        (before.expires_at - (after.at + wall)) / (before.expires_at - before.refreshed_at)
        for versions in list(env.targets.versions.values())
        for before, after in itertools.pairwise(versions)
        if begin <= after.at <= end
    )
