"""Faults of the API server and of the connection to it."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from tests.chaos.environment import Environment
from tests.chaos.faults.injection import Inject, Injected
from tests.support.api import token_path
from tests.support.api_proxy import Line
from tests.support.crd import CRD_PATH
from tests.support.documented import GROUP, PLURAL, VERSION
from tests.support.repository import CRD

_STORED = "/api/v1/namespaces/default"


def _refusing(status: int, count: int | None = None) -> Inject:
    def begin(line: Line, _: random.Random) -> None:
        line.refusals = count
        line.refusal = status

    def end(line: Line) -> None:
        line.refusal = line.refusals = None

    return _on_lines(begin, end, every=True)


def _with_flag(attribute: str, *, cut_watches: bool = False) -> Inject:
    return _on_lines(
        lambda line, _: setattr(line, attribute, True),
        lambda line: setattr(line, attribute, False),
        cut_watches=cut_watches,
    )


def _slow_down(line: Line, rng: random.Random) -> None:
    line.delay = rng.uniform(0.3, 1.5)


def _speed_up(line: Line) -> None:
    line.delay = 0.0


def _on_lines(
    begin: Callable[[Line, random.Random], None],
    end: Callable[[Line], None],
    *,
    every: bool = False,
    cut_watches: bool = False,
) -> Inject:
    """Return a fault on the connections of all replicas, or of one of them."""

    @contextmanager
    def inject(env: Environment, rng: random.Random) -> Iterator[Injected]:
        names = _choose(env, rng, every=every)
        injected = Injected(env.seconds(), note=", ".join(names))
        for name in names:
            begin(env.proxy.lines[name], rng)
            if cut_watches:
                env.proxy.cut_watches(name)
        try:
            yield injected
        finally:
            for name in names:
                end(env.proxy.lines[name])

    return inject


@contextmanager
def _cut(env: Environment, rng: random.Random) -> Iterator[Injected]:
    names = _choose(env, rng, every=False)
    injected = Injected(env.seconds(), note=", ".join(names))
    for name in names:
        env.proxy.cut(name)
    yield injected


def _choose(env: Environment, rng: random.Random, *, every: bool) -> list[str]:
    names = list(env.proxy.lines)
    one = rng.choice(names)
    return names if every or rng.random() < 0.5 else [one]


@contextmanager
def _api_server_killed(env: Environment, _: random.Random) -> Iterator[Injected]:
    injected = Injected(env.seconds())
    env.cluster.kill_apiserver()
    try:
        yield injected
    finally:
        env.cluster.start_apiserver()


@contextmanager
def _etcd_killed(env: Environment, _: random.Random) -> Iterator[Injected]:
    injected = Injected(env.seconds())
    env.cluster.kill_etcd()
    try:
        yield injected
    finally:
        env.cluster.start_etcd()
        env.retry(partial(env.kube.get, _STORED))


@contextmanager
def _crd_reinstalled(env: Environment, _: random.Random) -> Iterator[Injected]:
    injected = Injected(env.seconds())
    env.retry(partial(env.kube.delete, CRD_PATH), accept=(404,))
    env.wait_until(lambda: env.kube.get(CRD_PATH) is None, "the CRD is deleted")
    yield injected
    env.cluster.kubectl("apply", "--server-side", "-f", str(CRD))
    # A kind can be established before it is served and stored.
    everywhere = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
    env.wait_until(lambda: env.kube.get(everywhere) is not None, "the CRD is served")
    for member in env.members:
        create = partial(env.kube.create, token_path(member.namespace), member.resource())
        # In a namespace that is being deleted, another fault creates it again.
        env.retry(create, accept=(409, 403))


FAULTS: Mapping[str, Inject] = {
    "replies: 401 once": _refusing(401, 1),
    "replies: 401 for 30 s": _refusing(401),
    "replies: 429": _refusing(429),
    "replies: 503": _refusing(503),
    "connection: cut": _cut,
    "connection: stalled": _with_flag("stalled"),
    "connection: slow": _on_lines(_slow_down, _speed_up),
    "connection: watches closed at once": _with_flag("closes_watches", cut_watches=True),
    "connection: watches silent": _with_flag("silent_watches"),
    "connection: watches expired": _with_flag("expires_watches", cut_watches=True),
    "control plane: API server killed": _api_server_killed,
    "control plane: etcd killed": _etcd_killed,
    "control plane: CRD reinstalled": _crd_reinstalled,
}
