"""The operator in a simulated cluster, whatever happens there; see `tests.life.machine`."""

import pytest
from hypothesis import HealthCheck, settings

from tests.life.machine import MINUTE, Simulation, spec

TestSimulation = Simulation.TestCase
TestSimulation.settings = settings(
    max_examples=20,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("count", range(6))
def test_status_is_never_written_to_a_recreated_resource(count: int) -> None:
    simulation = Simulation()
    simulation.begin([spec("Owner", "Delete", "one", None, None)])
    simulation.wait(MINUTE)
    simulation.interleave(count, "a", "replace", spec("Merge", "Delete", "two", None, None))
    simulation.request_refresh("a", 0)
    simulation.promises_hold()
    simulation.teardown()
