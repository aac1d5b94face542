"""Faults of the credentials: users rotate them, break them or delete them."""

import base64
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.chaos.environment import Environment
from tests.chaos.faults.injection import Inject, Injected
from tests.chaos.population import EXPENDABLE, new_secret, users
from tests.chaos.records import Key
from tests.support.api import secret_path
from tests.support.encoding import encode

_MOST = 3


def create_credentials(env: Environment, key: Key) -> None:
    """Create an account's credentials Secret, with the correct data."""
    obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": key[1]},
        "data": env.accounts.data(key),
    }
    env.retry(partial(env.kube.create, secret_path(key[0]), obj), accept=(409,))


Change = Callable[[Environment, Key], None]


def _fault(change: Change, undo: Change) -> Inject:
    """Return a fault that changes the credentials of a few accounts and undoes that at its end."""

    @contextmanager
    def inject(env: Environment, rng: random.Random) -> Iterator[Injected]:
        accounts = [key for key in env.accounts.keys if key[0] not in EXPENDABLE]
        keys = rng.sample(accounts, rng.randint(1, _MOST))
        by_account = users(env.members, env.fleets)
        affects = frozenset[Key]().union(*(by_account[key] for key in keys))
        injected = Injected(env.seconds(), affects, ", ".join("/".join(key) for key in keys))
        for key in keys:
            change(env, key)
        yield injected
        for key in keys:
            undo(env, key)

    return inject


def _wrong(data: Callable[[], Mapping[str, Any]]) -> Inject:
    """Return a fault that replaces part of the credentials for a while."""
    return _fault(lambda env, key: _write(env, key, data()), _restore)


def _rotate(env: Environment, key: Key) -> None:
    env.accounts.rotate(key)
    _restore(env, key)


def _delete(env: Environment, key: Key) -> None:
    env.retry(partial(env.kube.delete, secret_path(*key)), accept=(404,))


def _append_newline(env: Environment, key: Key) -> None:
    data = env.accounts.data(key)
    _write(env, key, {name: encode(base64.b64decode(text) + b"\n") for name, text in data.items()})


def _restore(env: Environment, key: Key) -> None:
    _write(env, key, env.accounts.data(key))


def _leave(_env: Environment, _key: Key) -> None:
    pass


def _write(env: Environment, key: Key, data: Mapping[str, Any]) -> None:
    env.retry(partial(env.kube.patch, secret_path(*key), {"data": data}))


FAULTS: Mapping[str, Inject] = {
    "credentials: rotated": _fault(_rotate, _leave),
    "credentials: wrong for a while": _wrong(lambda: {"client_secret": encode(new_secret())}),
    "credentials: deleted and recreated": _fault(_delete, create_credentials),
    "credentials: key missing": _wrong(lambda: {"client_secret": None}),
    "credentials: trailing newline": _fault(_append_newline, _leave),
    "credentials: not UTF-8": _wrong(lambda: {"client_secret": encode(b"\xff\xfe\x80")}),
}
