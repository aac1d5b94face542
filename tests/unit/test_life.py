"""The operator through any sequence of what may happen to it; see `tests.life.machine`."""

import pytest
from hypothesis import HealthCheck, settings

from tests.life.machine import MINUTE, Life, spec

TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=20,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("count", range(6))
def test_the_status_of_a_resource_is_not_that_of_its_predecessor(count: int) -> None:
    life = Life()
    life.begin([spec("Owner", "Delete", "one", None, None)])
    life.wait(MINUTE)
    life.meanwhile(count, "a", "replace", spec("Merge", "Delete", "two", None, None))
    life.request_refresh("a", 0)
    life.nothing_is_wrong()
    life.teardown()
