"""The same measurements with few and with many resources, and the cost of each additional one."""

from collections.abc import Iterator

from tests.bench import objects
from tests.bench.environment import LIFETIME, REFRESHED_AFTER, environment
from tests.bench.figures import Figure
from tests.bench.progress import say
from tests.bench.restart import restart
from tests.bench.settings import Settings
from tests.bench.steady import refreshes, start_scattered

_LIKE = 10_000
_SHORTEST = 6
# Names of figures of other parts.
_COMPARED = ("CPU a refresh", "memory", "until all are reconciled", "CPU until all are reconciled")


def measure(settings: Settings) -> Iterator[Figure]:
    found: dict[int, dict[str, Figure]] = {}
    for resources in settings.growth:
        found[resources] = {}
        for figure in _at(settings, resources):
            if figure.name in _COMPARED:
                found[resources].setdefault(figure.name, figure)
        for figure in found[resources].values():
            yield Figure(f"{resources:,}: {figure.name}", figure.value, figure.unit)
    least, most = min(found), max(found)
    if least == most:
        return
    for name in _COMPARED:
        few, many = found[least][name], found[most][name]
        if name == "CPU a refresh":
            change = 100 * (many.value / few.value - 1)
            yield Figure(f"{name}, from {least:,} to {most:,}", change, "%", "within 20")
        else:
            slope = (many.value - few.value) / (most - least) * 1000
            yield Figure(f"{name}, for 1,000 more", slope, few.unit)
    yield from _a_million(found[most], most)


def _a_million(found: dict[str, Figure], resources: int) -> Iterator[Figure]:
    """Extrapolate to a million resources, in shards of the largest number that was measured."""
    million = 1_000_000
    shards = million / resources
    memory = shards * found["memory"].value
    processors = million / REFRESHED_AFTER * found["CPU a refresh"].value / 1000
    yield Figure(f"1,000,000: memory of {shards:,.0f} shards", memory / 1000, "GB")
    yield Figure(f"1,000,000 x {LIFETIME:,} s: processors", processors, "")


def _at(settings: Settings, resources: int) -> Iterator[Figure]:
    lifetime = max(_SHORTEST, round(LIFETIME * resources / _LIKE))
    with environment(settings.latency, lifetime, python=settings.python) as env:
        say(f"creating {resources:,} resources whose tokens live {lifetime} s")
        objects.create_resources(env.cluster, range(resources))
        start_scattered(env, resources)
        yield from refreshes(env, settings.seconds)
        yield from restart(env, resources)
