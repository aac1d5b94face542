from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.clock import Clock

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class World:
    """A machine and an API server whose clocks can be set."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.wall = NOON
        self.server = NOON
        self.clock = Clock(lambda: self.seconds, lambda: self.wall)

    def passes(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)
        self.server += timedelta(seconds=seconds)

    def answers(self) -> None:
        self.clock.heard(format_datetime(self.server, usegmt=True))


def test_until_the_server_has_told_the_time_it_is_the_machines() -> None:
    assert World().clock.now() == NOON


def test_the_servers_time_counts_and_goes_on() -> None:
    world = World()
    world.server += timedelta(minutes=5)
    world.answers()
    world.passes(90)
    assert world.clock.now() == NOON + timedelta(minutes=6, seconds=30)
    assert world.clock.skew() == timedelta(minutes=5)


@pytest.mark.parametrize("minutes", [5, -5])
def test_setting_the_machines_clock_changes_nothing(minutes: int) -> None:
    world = World()
    world.answers()
    world.wall += timedelta(minutes=minutes)
    world.passes(1)
    world.answers()
    assert world.clock.now() == NOON + timedelta(seconds=1)


def test_a_server_that_is_set_forward_is_followed() -> None:
    world = World()
    world.answers()
    world.server += timedelta(minutes=5)
    world.answers()
    assert world.clock.now() == NOON + timedelta(minutes=5)


def test_a_server_that_is_set_back_does_not_make_a_token_younger() -> None:
    world = World()
    world.answers()
    world.server -= timedelta(minutes=5)
    for _ in range(60):
        world.passes(1)
        world.answers()
    assert world.clock.now() - NOON == pytest.approx(
        timedelta(minutes=1), abs=timedelta(seconds=0.1)
    )


def test_a_machine_that_counts_too_fast_is_held_back_in_time() -> None:
    world = World()
    world.answers()
    for _ in range(10_000):
        world.passes(1)
        world.server -= timedelta(microseconds=100)  # 100 ppm
        world.answers()
    assert world.clock.now() - world.server < timedelta(seconds=1.1)


@pytest.mark.parametrize("date", ["", "soon", "Wed, 99 Nov 2026 12:00:00 GMT", "0"])
def test_what_is_no_date_is_ignored(date: str) -> None:
    world = World()
    world.clock.heard(date)
    assert world.clock.now() == NOON


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(-1000, 1000)), min_size=1))
def test_it_never_goes_back(steps: list[tuple[float, int]]) -> None:
    world = World()
    world.answers()
    readings = [world.clock.now()]
    for passed, step in steps:
        world.passes(passed)
        readings.append(world.clock.now())
        world.server += timedelta(seconds=step)
        world.answers()  # and what it gives in at once must not be seen
        readings.append(world.clock.now())
    assert readings == sorted(readings)
