"""The operator through any sequence of what may happen to it; see `tests.life.machine`."""

from hypothesis import HealthCheck, settings

from tests.life.machine import Life

TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=20,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
