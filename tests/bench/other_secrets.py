"""The cost of Secrets that no resource refers to."""

from collections.abc import Iterator

from tests.bench import objects
from tests.bench.burst import first_tokens
from tests.bench.environment import environment
from tests.bench.figures import Figure
from tests.bench.progress import say
from tests.bench.restart import restart
from tests.bench.settings import Settings

_RESOURCES = 100


def measure(settings: Settings) -> Iterator[Figure]:
    with environment(settings.latency, python=settings.python) as env:
        objects.create_resources(env.cluster, range(_RESOURCES))
        list(first_tokens(env, _RESOURCES))
        without = {figure.name: figure for figure in restart(env, _RESOURCES)}
        say(f"creating {settings.foreign:,} unrelated Secrets")
        env.kube.create("/api/v1/namespaces", {"metadata": {"name": "others"}})
        objects.create_foreign_secrets(env.cluster, "others", range(settings.foreign))
        with_them = {figure.name: figure for figure in restart(env, _RESOURCES)}
    count = f"{settings.foreign:,}"
    for name in ("until ready", "CPU until ready", "memory", "memory, highest"):
        before, after = without[name], with_them[name]
        yield Figure(f"{name}, without them", before.value, before.unit)
        yield Figure(f"{name}, with {count}", after.value, after.unit)
    added = with_them["memory"].value - without["memory"].value
    yield Figure(f"memory that {count} add", added, "MB", "5 at 50,000")
