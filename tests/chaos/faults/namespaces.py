"""Faults of namespaces with copies of a cluster-scoped token, and of the copies in them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from tests.chaos.environment import Environment
from tests.chaos.faults.credentials import create_credentials
from tests.chaos.faults.injection import Inject, Injected
from tests.chaos.faults.partial_rights import grant
from tests.chaos.population import SHARED_LABEL, SHARED_TARGET, UNSELECTED, Fleet
from tests.chaos.records import Unlabelling
from tests.support.api import secret_path
from tests.support.documented import CLUSTER_PLURAL, GROUP, VERSION
from tests.support.encoding import encode

_MOST = 3
_FLAPS = 8
# A list that is in progress may still contain a namespace's Secrets.
_READ_SECONDS = 1.5
_THEIRS = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": SHARED_TARGET},
    "type": "Opaque",
    "data": {"password": encode("someone else's")},
}


def populate_fleets(env: Environment) -> None:
    """Create credentials, resources and labels; and where no label is, someone else's Secret."""
    env.retry(partial(env.kube.create, secret_path(UNSELECTED), _THEIRS), accept=(409,))
    for key in sorted({fleet.account_key for fleet in env.fleets}):
        create_credentials(env, key)
    for fleet in env.fleets:
        path = f"/apis/{GROUP}/{VERSION}/{CLUSTER_PLURAL}"
        env.retry(partial(env.kube.create, path, fleet.resource()), accept=(409,))
        for namespace in fleet.namespaces:
            _label(env, namespace, fleet.name)


def compare_unselected(env: Environment) -> None:
    """Record what became of someone else's Secret where no label is."""
    found = env.retry(partial(env.kube.get, secret_path(UNSELECTED, SHARED_TARGET)))
    env.witness.compare(f"Secret {UNSELECTED}/{SHARED_TARGET}", _THEIRS, found)


def _choose(env: Environment, rng: random.Random) -> tuple[Fleet, list[str]]:
    """Return a resource and a few of its namespaces; in others its copies stay."""
    fleet = rng.choice(env.fleets)
    most = min(_MOST, len(fleet.namespaces) - 1)
    return fleet, rng.sample(fleet.namespaces, rng.randint(1, most))


def _injected(env: Environment, namespaces: Sequence[str]) -> Injected:
    affects = frozenset((namespace, SHARED_TARGET) for namespace in namespaces)
    return Injected(env.seconds(), affects, ", ".join(namespaces))


def _label(env: Environment, namespace: str, value: str | None) -> None:
    patch = {"metadata": {"labels": {SHARED_LABEL: value}}}
    env.retry(partial(env.kube.patch, _path(namespace), patch))


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}"


def _is_gone(env: Environment, namespace: str) -> bool:
    return env.kube.get(_path(namespace)) is None


@contextmanager
def _labels_removed(env: Environment, rng: random.Random) -> Iterator[Injected]:
    fleet, namespaces = _choose(env, rng)
    injected = _injected(env, namespaces)
    with ExitStack() as stack:
        began = {}
        for namespace in namespaces:
            stack.enter_context(env.reader.paused(namespace))
            _label(env, namespace, None)
            began[namespace] = env.seconds()
        yield injected
        for namespace in namespaces:
            copy = namespace, SHARED_TARGET
            env.witness.unlabellings.append(Unlabelling(copy, began[namespace], env.seconds()))
            _label(env, namespace, fleet.name)


@contextmanager
def _labels_flapping(env: Environment, rng: random.Random) -> Iterator[Injected]:
    fleet, namespaces = _choose(env, rng)
    injected = _injected(env, namespaces)
    with ExitStack() as stack:
        for namespace in namespaces:
            stack.enter_context(env.reader.paused(namespace))
        for _ in range(_FLAPS):
            for value in (None, fleet.name):
                for namespace in namespaces:
                    _label(env, namespace, value)
    yield injected


@contextmanager
def _recreated(env: Environment, rng: random.Random) -> Iterator[Injected]:
    fleet, namespaces = _choose(env, rng)
    injected = _injected(env, namespaces)
    with ExitStack() as stack:
        for namespace in namespaces:
            stack.enter_context(env.reader.paused(namespace))
            delete = partial(env.kube.delete, _path(namespace))
            env.retry(delete, accept=(404, 409))
        for namespace in namespaces:
            env.wait_until(partial(_is_gone, env, namespace), f"{namespace} is deleted")
        env.stop.wait(_READ_SECONDS)
    for namespace in namespaces:
        labels = {SHARED_LABEL: fleet.name}
        body = {"metadata": {"name": namespace, "labels": labels}}
        env.retry(partial(env.kube.create, "/api/v1/namespaces", body), accept=(409,))
        grant(env, namespace)
    yield injected


@contextmanager
def _copies_deleted(env: Environment, rng: random.Random) -> Iterator[Injected]:
    _, namespaces = _choose(env, rng)
    injected = _injected(env, namespaces)
    for namespace in namespaces:
        delete = partial(env.kube.delete, secret_path(namespace, SHARED_TARGET))
        env.retry(delete, accept=(404,))
    yield injected


@contextmanager
def _copy_replaced(env: Environment, rng: random.Random) -> Iterator[Injected]:
    """Put someone else's Secret in the place of a copy for a while."""
    _, (namespace, *_) = _choose(env, rng)
    path = secret_path(namespace, SHARED_TARGET)
    injected = _injected(env, [namespace])
    with env.reader.paused(namespace):
        env.retry(partial(env.kube.delete, path), accept=(404,))

        def is_replaced() -> bool:
            if env.retry(partial(env.kube.create, secret_path(namespace), _THEIRS), accept=(409,)):
                return True
            env.retry(partial(env.kube.delete, path), accept=(404,))
            return False

        env.wait_until(is_replaced, "another Secret is in place")
        before = env.retry(partial(env.kube.get, path))
        yield injected
        after = env.retry(partial(env.kube.get, path))
        if before is not None:
            env.witness.compare(f"Secret {namespace}/{SHARED_TARGET}", before, after)
        env.retry(partial(env.kube.delete, path), accept=(404,))


FAULTS: Mapping[str, Inject] = {
    "namespaces: labels removed": _labels_removed,
    "namespaces: labels flapping": _labels_flapping,
    "namespaces: deleted and recreated": _recreated,
    "namespaces: copies deleted": _copies_deleted,
    "namespaces: copy replaced by another Secret": _copy_replaced,
}
