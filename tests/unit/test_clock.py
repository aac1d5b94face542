import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.clock import Clock

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


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

    def replies(self, times: int = 1, ahead: timedelta = timedelta()) -> None:
        """Reply once a second, by a clock that is ahead of the server's."""
        for _ in range(times):
            self.passes(1)
            self.clock.observe(format_datetime(self.server + ahead, usegmt=True))

    @property
    def lead(self) -> timedelta:
        """How far the clock is ahead of the server."""
        return self.clock.now() - self.server


def test_clock_is_the_machines_until_the_first_reply() -> None:
    assert World().clock.now() == NOON


def test_clock_follows_the_api_server() -> None:
    world = World()
    world.server += timedelta(minutes=5)
    world.replies()
    world.passes(90)
    assert world.lead == timedelta()
    assert world.clock.skew() == timedelta(minutes=5)


@pytest.mark.parametrize("minutes", [5, -5])
def test_clock_ignores_a_change_of_the_machines_clock(minutes: int) -> None:
    world = World()
    world.replies(3)
    world.wall += timedelta(minutes=minutes)
    world.replies(3)
    assert world.lead == timedelta()


@pytest.mark.parametrize("step", [HOUR, timedelta(minutes=5), -timedelta(minutes=5), -HOUR])
@pytest.mark.parametrize("before", [1, 3, 100])
def test_clock_follows_a_step_once_most_replies_confirm_it(step: timedelta, before: int) -> None:
    world = World()
    world.replies(before)
    world.server += step
    world.replies(1)
    assert world.lead == -step
    world.replies(4)
    assert world.lead == timedelta()


@pytest.mark.parametrize("ahead", [HOUR, timedelta(seconds=20), -HOUR])
def test_clock_is_not_moved_by_a_single_reply(ahead: timedelta) -> None:
    world = World()
    world.replies(3)
    for _ in range(20):
        world.replies(1, ahead)
        assert world.lead == timedelta()
        world.replies(2)
        assert world.lead == timedelta()


def test_clock_drops_a_wrong_first_reply_soon() -> None:
    world = World()
    world.replies(1, ahead=HOUR)
    world.replies(2)
    assert world.lead == timedelta()


def test_clock_follows_a_step_when_replies_are_rare() -> None:
    world = World()
    world.replies(9)
    world.server += HOUR
    for _ in range(2):
        world.passes(300)
        world.replies()
    assert world.lead == timedelta()


def test_clock_slows_down_rather_than_goes_back_by_little() -> None:
    world = World()
    world.replies(3)
    world.server -= timedelta(seconds=5)
    readings = []
    for _ in range(60):
        world.replies()
        readings.append(world.clock.now())
    assert readings == sorted(readings)
    assert world.lead == pytest.approx(timedelta(seconds=5), abs=timedelta(seconds=0.1))


def test_clock_gives_up_a_lead_by_half_a_millisecond_a_second() -> None:
    world = World()
    world.replies()
    for _ in range(10_000):
        world.server -= timedelta(microseconds=100)  # the machine's counts too fast, by 100 ppm
        world.replies()
    assert world.lead < timedelta(seconds=1.1)


@pytest.mark.parametrize("date", ["", "soon", "Wed, 99 Nov 2026 12:00:00 GMT", "0"])
def test_clock_ignores_an_invalid_date(date: str) -> None:
    world = World()
    world.clock.observe(date)
    assert world.clock.now() == NOON


# Replies whose dates, in whole seconds, differ by less than what counts as a step: 10 s.
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-4.4, 4.4)), min_size=1))
def test_clock_never_goes_back_without_a_step(steps: list[tuple[float, float]]) -> None:
    world = World()
    world.replies()
    readings = [world.clock.now()]
    for passed, ahead in steps:
        world.passes(passed)
        readings.append(world.clock.now())
        world.replies(1, timedelta(seconds=ahead))
        readings.append(world.clock.now())
    assert readings == sorted(readings)


def test_clock_warns_once_for_each_change_of_the_skew(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World()
    world.replies(10)
    assert not caplog.records
    world.server += HOUR
    world.replies(20)
    world.server -= HOUR
    world.replies(20)
    warning, info = caplog.records
    assert (warning.levelname, info.levelname) == ("WARNING", "INFO")
    assert "is +3600 s off this machine's" in warning.getMessage()
    assert "agrees with this machine's again" in info.getMessage()
