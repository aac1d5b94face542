"""Time from a change to the right Secret on an idle cluster, one change at a time."""

import time
from collections.abc import Callable, Iterator

from tests.bench import objects
from tests.bench.environment import Environment, environment
from tests.bench.figures import Figure, spread
from tests.bench.progress import say
from tests.bench.settings import Settings
from tests.bench.steady import arrive
from tests.support.api import secret_path
from tests.support.encoding import encode

_TRIES = 100
_PAUSE = 0.2


def measure(settings: Settings) -> Iterator[Figure]:
    with environment(settings.latency, python=settings.python) as env:
        env.operator.start()
        env.operator.wait_ready()
        time.sleep(5.0)
        yield Figure("memory without any resource", env.operator.rss_bytes() / 1e6, "MB", "90")
        names = [str(number) for number in range(_TRIES)]
        objects.create_credentials(env.cluster, names)
        yield from spread("new resource to Secret", arrive(env, names), "70", "120")

        say(f"rotating the credentials of {_TRIES}, one by one")
        waits = _change(env, names, lambda name: _rotate(env, name, "other"))
        yield from spread("rotated credentials to new token", waits, p50="75")
        yield from _deleted(env, names, "deleted target to recreated", "75")
        env.operator.stop()
        env.operator = env.another_operator("keeping", "--keep-tokens=20m")
        env.operator.start()
        env.operator.wait_ready()
        # It caches only tokens that it fetched itself.
        _change(env, names, lambda name: _rotate(env, name, "third"))
        yield from _deleted(env, names, "the same with --keep-tokens", "40")


def _rotate(env: Environment, name: str, secret: str) -> None:
    path = secret_path(objects.NAMESPACE, objects.account(name))
    encoded = encode(f"{secret}-{name}")
    env.kube.patch(path, {"data": {"client_secret": encoded}})


def _deleted(env: Environment, names: list[str], what: str, goal: str) -> Iterator[Figure]:
    def delete(name: str) -> None:
        env.kube.delete(secret_path(objects.NAMESPACE, objects.token(name)))

    say(f"deleting the targets of {_TRIES}, one by one")
    before = env.usage()
    waits = _change(env, names, delete)
    yield from spread(what, waits, p50=goal)
    spent = env.endpoint.exchanges - before.exchanges
    yield Figure(f"{what}: exchanges for each", spent / _TRIES)


def _change(env: Environment, names: list[str], change: Callable[[str], None]) -> list[float]:
    waits = []
    for name in names:
        target = objects.token(name)
        seen = len(env.targets.versions[target])
        started = time.monotonic()
        change(name)
        waits.append(env.targets.wait_for_next(target, seen).at - started)
        time.sleep(_PAUSE)
    return waits
