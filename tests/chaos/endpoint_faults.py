"""The token endpoint answers as it should not."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.chaos.injection import Inject, Made
from tests.chaos.kinds import KINDS, Lane
from tests.chaos.place import Place


def _answering(mode: str) -> Inject:
    @contextmanager
    def inject(place: Place, _: random.Random) -> Iterator[Made]:
        made = Made(place.seconds())
        place.endpoint.mode = mode
        try:
            yield made
        finally:
            place.endpoint.mode = "ok"

    return inject


FAULTS: Mapping[str, Inject] = {
    kind.name: _answering(kind.name.partition(": ")[2])
    for kind in KINDS
    if kind.lane is Lane.ENDPOINT
}
