"""The sidecar's clock follows what elapses, not what the machine's clock is set to."""

from datetime import timedelta

from pinecone_token_operator.runtime.sidecar.manager import anchored_clock
from tests.support.builders import NOON


def test_clock_ignores_that_the_wall_clock_is_set() -> None:
    elapsed, wall = [50.0], [NOON]
    now = anchored_clock(lambda: elapsed[0], lambda: wall[0])
    assert now() == NOON

    elapsed[0] += 90
    wall[0] -= timedelta(hours=1)
    assert now() == NOON + timedelta(seconds=90)
