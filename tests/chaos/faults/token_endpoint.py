"""Faults of the token endpoint: it is down, refuses, hangs or returns something useless."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.chaos.environment import Environment
from tests.chaos.faults.catalog import KINDS
from tests.chaos.faults.injection import Inject, Injected
from tests.chaos.records import Lane


def _in_mode(mode: str) -> Inject:
    @contextmanager
    def inject(env: Environment, _: random.Random) -> Iterator[Injected]:
        injected = Injected(env.seconds())
        env.endpoint.mode = mode
        try:
            yield injected
        finally:
            env.endpoint.mode = "ok"

    return inject


FAULTS: Mapping[str, Inject] = {
    kind.name: _in_mode(kind.name.partition(": ")[2])
    for kind in KINDS
    if kind.lane is Lane.ENDPOINT
}
