"""How long it takes from a change to the right Secret, on an idle cluster, one at a time."""

import base64
import time
from collections.abc import Callable, Iterator

from tests.bench import objects
from tests.bench.figures import Figure, spread
from tests.bench.place import Place, place
from tests.bench.progress import say
from tests.bench.settings import Settings
from tests.bench.steady import arrive
from tests.support.api import secret_path

_TRIES = 100
_PAUSE = 0.2


def measure(settings: Settings) -> Iterator[Figure]:
    with place(settings.latency) as here:
        here.operator.start()
        here.operator.wait_ready()
        time.sleep(5.0)
        yield Figure("memory without any resource", here.operator.rss_bytes() / 1e6, "MB", "90")
        names = [str(number) for number in range(_TRIES)]
        objects.create_credentials(here.cluster, names)
        yield from spread("new resource to Secret", arrive(here, names), "70", "120")

        say(f"changing the credentials of {_TRIES}, one by one")
        waits = _change(here, names, lambda name: _rotate(here, name, "other"))
        yield from spread("changed credentials to new token", waits, p50="75")
        yield from _deleted(here, names, "deleted target to restored", "75")
        here.operator.stop()
        here.operator = here.another_operator("keeping", "--keep-tokens=20m")
        here.operator.start()
        here.operator.wait_ready()
        # It keeps what it fetches itself.
        _change(here, names, lambda name: _rotate(here, name, "third"))
        yield from _deleted(here, names, "the same with --keep-tokens", "40")


def _rotate(here: Place, name: str, secret: str) -> None:
    path = secret_path(objects.NAMESPACE, objects.account(name))
    encoded = base64.b64encode(f"{secret}-{name}".encode()).decode()
    here.kube.patch(path, {"data": {"client_secret": encoded}})


def _deleted(here: Place, names: list[str], what: str, goal: str) -> Iterator[Figure]:
    def delete(name: str) -> None:
        here.kube.delete(secret_path(objects.NAMESPACE, objects.token(name)))

    say(f"deleting the targets of {_TRIES}, one by one")
    before = here.usage()
    waits = _change(here, names, delete)
    yield from spread(what, waits, p50=goal)
    spent = here.endpoint.exchanges - before.exchanges
    yield Figure(f"{what}: exchanges for each", spent / _TRIES)


def _change(here: Place, names: list[str], change: Callable[[str], None]) -> list[float]:
    waits = []
    for name in names:
        target = objects.token(name)
        seen = len(here.targets.sights[target])
        started = time.monotonic()
        change(name)
        waits.append(here.targets.wait_for_next(target, seen).at - started)
        time.sleep(_PAUSE)
    return waits
