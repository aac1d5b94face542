"""People change the credentials, rightly or wrongly."""

import base64
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.chaos.fairness import Key
from tests.chaos.injection import Inject, Made
from tests.chaos.place import Place
from tests.chaos.population import EXPENDABLE, new_secret, users
from tests.support.api import secret_path

_MOST = 3


def _choose(place: Place, rng: random.Random) -> list[Key]:
    keys = [key for key in place.accounts.keys if key[0] not in EXPENDABLE]
    return rng.sample(keys, rng.randint(1, _MOST))


def _made(place: Place, keys: list[Key]) -> Made:
    by_account = users(place.members)
    concerns = frozenset[Key]().union(*(by_account[key] for key in keys))
    return Made(place.seconds(), concerns, ", ".join("/".join(key) for key in keys))


def _write(place: Place, key: Key, data: Mapping[str, Any]) -> None:
    place.insist(partial(place.kube.patch, secret_path(*key), {"data": data}))


@contextmanager
def _changed(place: Place, rng: random.Random) -> Iterator[Made]:
    keys = _choose(place, rng)
    made = _made(place, keys)
    for key in keys:
        place.accounts.rotate(key)
        _write(place, key, place.accounts.data(key))
    yield made


def _wrong(data: Callable[[], dict[str, Any]]) -> Inject:
    """Return a fault that puts this into the credentials for a while."""

    @contextmanager
    def inject(place: Place, rng: random.Random) -> Iterator[Made]:
        keys = _choose(place, rng)
        made = _made(place, keys)
        for key in keys:
            _write(place, key, data())
        yield made
        for key in keys:
            _write(place, key, place.accounts.data(key))

    return inject


@contextmanager
def _deleted(place: Place, rng: random.Random) -> Iterator[Made]:
    keys = _choose(place, rng)
    made = _made(place, keys)
    for key in keys:
        place.insist(partial(place.kube.delete, secret_path(*key)), done=(404,))
    yield made
    for namespace, name in keys:
        create_credentials(place, (namespace, name))


@contextmanager
def _newline(place: Place, rng: random.Random) -> Iterator[Made]:
    keys = _choose(place, rng)
    made = _made(place, keys)
    for key in keys:
        data = place.accounts.data(key)
        _write(place, key, {name: _encode(_decode(text) + b"\n") for name, text in data.items()})
    yield made


def create_credentials(place: Place, key: Key) -> None:
    """Create the credentials Secret of an account, as it should be."""
    obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": key[1]},
        "data": place.accounts.data(key),
    }
    place.insist(partial(place.kube.create, secret_path(key[0]), obj), done=(409,))


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text)


FAULTS: Mapping[str, Inject] = {
    "credentials: changed": _changed,
    "credentials: wrong and back": _wrong(
        lambda: {"client_secret": _encode(new_secret().encode())}
    ),
    "credentials: deleted and recreated": _deleted,
    "credentials: key missing": _wrong(lambda: {"client_secret": None}),
    "credentials: trailing newline": _newline,
    "credentials: not UTF-8": _wrong(lambda: {"client_secret": _encode(b"\xff\xfe\x80")}),
}
