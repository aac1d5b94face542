from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.policies.contention import Cause, Damping, contested
from pinecone_token_operator.targets.target import FIELD_MANAGER
from tests.support.builders import NOON, after

FIVE_MINUTES = timedelta(minutes=5)


def repeated(times: int, every: timedelta = timedelta(), start: datetime = NOON) -> Damping:
    """Return the damping after something was done so often."""
    damping = Damping()
    for number in range(times):
        damping = damping.after(start + every * number)
    return damping


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (0, None),
        (1, None),
        (4, None),
        (5, 2),
        (6, 4),
        (7, 8),
        (12, 256),
        (13, 300),
        (100, 300),
        (10_000, 300),
    ],
)
def test_hold_doubles_up_to_five_minutes_after_a_burst(times: int, seconds: int | None) -> None:
    held_until = replace(Damping(), count=times, last_at=NOON).held_until
    assert held_until == (None if seconds is None else after(seconds=seconds))
    if times <= 100:
        assert repeated(times).held_until == held_until


@pytest.mark.parametrize(
    ("pause", "count"),
    [
        (timedelta(minutes=4, seconds=59), 7),
        (FIVE_MINUTES, 6),
        (timedelta(minutes=10), 5),
        (timedelta(minutes=30), 1),
        (timedelta(days=1), 1),
    ],
)
def test_one_is_forgiven_for_each_five_minutes(pause: timedelta, count: int) -> None:
    assert repeated(6).after(NOON + pause).count == count


def test_damping_ignores_a_clock_that_was_set_back() -> None:
    assert repeated(6).after(after(-60)).count == 7


def test_slow_writer_is_never_held_back() -> None:
    assert repeated(1000, every=FIVE_MINUTES).held_until is None


def test_steady_writer_is_held_to_one_repair_in_five_minutes() -> None:
    damping, now, repairs = Damping(), NOON, 0
    while now < NOON + timedelta(hours=3):
        if damping.held_until is None or damping.held_until <= now:
            damping = damping.after(now)
            repairs += 1
        now += timedelta(seconds=1)
    # The holds of the first 13 add up to less than nine minutes.
    assert 13 + 34 <= repairs <= 13 + 36


@given(st.lists(st.timedeltas(timedelta(), timedelta(hours=1)), max_size=40))
def test_hold_is_two_seconds_to_five_minutes(pauses: list[timedelta]) -> None:
    damping, now = Damping(), NOON
    for pause in pauses:
        now += pause
        damping = damping.after(now)
        assert damping.count >= 1
        if damping.held_until is not None:
            assert timedelta(seconds=2) <= damping.held_until - now <= FIVE_MINUTES


@given(st.lists(st.timedeltas(timedelta(), timedelta(minutes=6)), max_size=60))
def test_any_hour_holds_a_burst_and_one_repair_in_five_minutes(pauses: list[timedelta]) -> None:
    damping, now, made = Damping(), NOON, []
    for pause in pauses:
        now = max(now + pause, damping.held_until or now)
        damping = damping.after(now)
        made.append(now)
    for start in made:
        within = [one for one in made if start <= one < start + timedelta(hours=1)]
        assert len(within) <= 13 + 12


@pytest.mark.parametrize(
    ("writer", "words"),
    [
        ("argocd-controller", "field manager argocd-controller"),
        ("", "unknown"),
        (FIELD_MANAGER, "another instance of this operator"),
    ],
)
def test_contested_problem_names_the_writer_and_the_next_repair(writer: str, words: str) -> None:
    problem = contested("Secret shop/search was repaired 6 times", writer, after(seconds=4))
    assert problem.reason is Reason.TARGET_CONTESTED
    assert problem.message.startswith("Secret shop/search was repaired 6 times; ")
    assert f"the last writer was {words};" in problem.message
    assert "2026-11-25T12:00:04Z" in problem.message


REPAIRED = Cause("Secret shop/search was repaired", "argocd")


@pytest.mark.parametrize(("count", "seconds"), [(5, 32), (10, 128), (13, 600), (99, 600)])
def test_fight_is_reported_until_the_target_was_left_alone(count: int, seconds: int) -> None:
    damping = Damping(count - 1, NOON).after(NOON, REPAIRED)
    over = after(seconds=seconds)
    assert damping.fought_until(over - timedelta(seconds=1)) == over
    assert damping.fought_until(over) is None


def test_fight_names_the_other_writer() -> None:
    damping = Damping(4, NOON).after(NOON, REPAIRED)
    problem = damping.fight()
    assert problem is not None
    assert "was repaired 5 times; the last writer was field manager argocd" in problem.message


@pytest.mark.parametrize(
    "damping",
    [
        pytest.param(Damping(), id="nothing happened"),
        pytest.param(Damping(3, NOON).after(NOON, REPAIRED), id="a few repairs"),
        pytest.param(
            Damping(9, NOON).after(NOON, Cause("a refresh was requested", is_fight=False)),
            id="a user asked for it",
        ),
    ],
)
def test_fight_is_not_reported(damping: Damping) -> None:
    assert damping.fought_until(NOON) is None


def test_writer_that_left_no_name_keeps_the_one_it_left_before() -> None:
    nameless = Damping(5, NOON, REPAIRED).after(NOON, Cause(REPAIRED.what))
    assert nameless.cause == REPAIRED
    other = Damping(5, NOON, REPAIRED).after(NOON, Cause("the credentials changed"))
    assert other.cause == Cause("the credentials changed")
