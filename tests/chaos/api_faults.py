"""The API server, or the line to it, fails."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION
from tests.chaos.injection import Inject, Made
from tests.chaos.place import Place
from tests.support.api import token_path
from tests.support.api_proxy import Line
from tests.support.repository import CRD

_CRD_PATH = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PLURAL}.{GROUP}"
_STORED = "/api/v1/namespaces/default"


def _refusing(status: int, count: int | None = None) -> Inject:
    def begin(line: Line, _: random.Random) -> None:
        line.refusals = count
        line.refusal = status

    def end(line: Line) -> None:
        line.refusal = line.refusals = None

    return _on_lines(begin, end, every=True)


def _flagged(attribute: str, *, cut_watches: bool = False) -> Inject:
    return _on_lines(
        lambda line, _: setattr(line, attribute, True),
        lambda line: setattr(line, attribute, False),
        cut_watches=cut_watches,
    )


def _delay(line: Line, rng: random.Random) -> None:
    line.delay = rng.uniform(0.3, 1.5)


def _no_delay(line: Line) -> None:
    line.delay = 0.0


def _on_lines(
    begin: Callable[[Line, random.Random], None],
    end: Callable[[Line], None],
    *,
    every: bool = False,
    cut_watches: bool = False,
) -> Inject:
    """Return a fault on the lines of all replicas or of one."""

    @contextmanager
    def inject(place: Place, rng: random.Random) -> Iterator[Made]:
        names = _choose(place, rng, every=every)
        made = Made(place.seconds(), note=", ".join(names))
        for name in names:
            begin(place.proxy.lines[name], rng)
            if cut_watches:
                place.proxy.cut_watches(name)
        try:
            yield made
        finally:
            for name in names:
                end(place.proxy.lines[name])

    return inject


@contextmanager
def _cut(place: Place, rng: random.Random) -> Iterator[Made]:
    names = _choose(place, rng, every=False)
    made = Made(place.seconds(), note=", ".join(names))
    for name in names:
        place.proxy.cut(name)
    yield made


def _choose(place: Place, rng: random.Random, *, every: bool) -> list[str]:
    names = list(place.proxy.lines)
    one = rng.choice(names)
    return names if every or rng.random() < 0.5 else [one]


@contextmanager
def _api_server_killed(place: Place, _: random.Random) -> Iterator[Made]:
    made = Made(place.seconds())
    place.cluster.kill_apiserver()
    try:
        yield made
    finally:
        place.cluster.start_apiserver()


@contextmanager
def _etcd_killed(place: Place, _: random.Random) -> Iterator[Made]:
    made = Made(place.seconds())
    place.cluster.kill_etcd()
    try:
        yield made
    finally:
        place.cluster.start_etcd()
        place.insist(partial(place.kube.get, _STORED))


@contextmanager
def _crd_reinstalled(place: Place, _: random.Random) -> Iterator[Made]:
    made = Made(place.seconds())
    place.insist(partial(place.kube.delete, _CRD_PATH), done=(404,))
    place.wait_until(lambda: place.kube.get(_CRD_PATH) is None, "the CRD is gone")
    yield made
    place.cluster.kubectl("apply", "--server-side", "-f", str(CRD))
    # A kind can be established before it is served and stored.
    everywhere = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
    place.wait_until(lambda: place.kube.get(everywhere) is not None, "the CRD is served")
    for member in place.members:
        create = partial(place.kube.create, token_path(member.namespace), member.resource())
        # Of a namespace that is being deleted, somebody else takes care.
        place.insist(create, done=(409, 403))


FAULTS: Mapping[str, Inject] = {
    "replies: 401 once": _refusing(401, 1),
    "replies: 401 for 30 s": _refusing(401),
    "replies: 429": _refusing(429),
    "replies: 503": _refusing(503),
    "line: cut": _cut,
    "line: stalled": _flagged("stalled"),
    "line: delayed": _on_lines(_delay, _no_delay),
    "line: watches closed at once": _flagged("closes_watches", cut_watches=True),
    "line: watches silent": _flagged("silent_watches"),
    "line: watches expired": _flagged("expires_watches", cut_watches=True),
    "control plane: API server killed": _api_server_killed,
    "control plane: etcd killed": _etcd_killed,
    "control plane: CRD reinstalled": _crd_reinstalled,
}
