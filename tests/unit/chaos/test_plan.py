from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.fairness import Fault, blocked
from tests.chaos.kinds import BY_NAME, KINDS, Lane
from tests.chaos.plan import WAVES_FROM, Planned, make_plan
from tests.chaos.runner import FAULTS

MARGIN = 30.0

seeds = st.integers(0, 10**9)
lengths = st.sampled_from([60.0, 120.0, 600.0, 900.0])


@given(seeds, lengths)
def test_the_same_seed_gives_the_same_faults(seed: int, seconds: float) -> None:
    assert make_plan(seed, seconds) == make_plan(seed, seconds)


def test_another_seed_gives_others() -> None:
    assert make_plan(1, 600) != make_plan(2, 600)


@given(seeds, lengths)
def test_every_kind_comes_at_least_once(seed: int, seconds: float) -> None:
    assert {planned.kind for planned in make_plan(seed, seconds)} == set(KINDS)


@given(seeds, lengths)
def test_faults_of_one_lane_come_one_after_the_other(seed: int, seconds: float) -> None:
    plan = make_plan(seed, seconds)
    for lane in Lane:
        mine = [planned for planned in plan if planned.kind.lane is lane]
        assert all(first.over <= second.at for first, second in pairwise(mine))


@given(seeds)
def test_lanes_overlap(seed: int) -> None:
    plan = make_plan(seed, 60)
    assert any(at_one_time(plan, planned.at) >= 4 for planned in plan)


@given(seeds, lengths)
def test_all_begin_in_time_in_order_and_are_numbered(seed: int, seconds: float) -> None:
    plan = make_plan(seed, seconds)
    assert [planned.number for planned in plan] == list(range(len(plan)))
    assert [planned.at for planned in plan] == sorted(planned.at for planned in plan)
    assert all(0 <= planned.at <= seconds for planned in plan)


@given(seeds)
def test_a_short_run_has_every_kind_once(seed: int) -> None:
    assert set(Counter(planned.kind for planned in make_plan(seed, 60)).values()) == {1}


@settings(max_examples=20)
@given(seeds)
def test_a_long_run_has_short_and_long_outages_with_a_margin_between(seed: int) -> None:
    plan = make_plan(seed, 3600)
    outages = blocked([as_made(planned) for planned in plan if not chosen(planned)], ("any", "one"))
    lengths = [end - begin for begin, end in outages]
    calms = [after[0] - before[1] for before, after in pairwise(outages)]
    assert sum(length < MARGIN for length in lengths) > len(lengths) / 3
    assert any(length > MARGIN for length in lengths)
    assert sum(calm > MARGIN for calm in calms) > 20


@given(seeds, lengths)
def test_a_silent_watch_comes_early_enough_to_be_noticed(seed: int, seconds: float) -> None:
    plan = make_plan(seed, seconds)
    silent = [planned.at for planned in plan if planned.kind.name == "line: watches silent"]
    assert all(at + 75 <= seconds + 60 for at in silent)


def test_what_cannot_be_made_is_left_out() -> None:
    plan = make_plan(1, 600, leave_out=frozenset({"clock: 5 min ahead"}))
    assert "clock: 5 min ahead" not in {planned.kind.name for planned in plan}
    assert "clock: 5 min behind" in {planned.kind.name for planned in plan}


def test_each_kind_has_a_name_of_its_own_and_a_way_to_make_it() -> None:
    assert len(BY_NAME) == len(KINDS)
    assert set(FAULTS) == set(BY_NAME)


@pytest.mark.parametrize("seconds", [60, WAVES_FROM - 1, WAVES_FROM, 7200])
def test_any_length_has_a_plan(seconds: float) -> None:
    assert make_plan(0, seconds)


def at_one_time(plan: tuple[Planned, ...], moment: float) -> int:
    return sum(planned.at <= moment <= planned.over for planned in plan)


def as_made(planned: Planned) -> Fault:
    return Fault(planned.kind, planned.at, planned.over)


def chosen(planned: Planned) -> bool:
    """Return whether it concerns only some resources."""
    return planned.kind.lane in (Lane.CREDENTIALS, Lane.PEOPLE)
