from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.analysis.fairness import blocked
from tests.chaos.faults.catalog import BY_NAME, KINDS
from tests.chaos.faults.plan import WAVES_FROM, Planned, make_plan
from tests.chaos.faults.runner import FAULTS
from tests.chaos.records import Fault, Lane

MARGIN = 30.0

seeds = st.integers(0, 10**9)
lengths = st.sampled_from([60.0, 120.0, 600.0, 900.0])


@given(seeds, lengths)
def test_plan_is_the_same_for_the_same_seed(seed: int, seconds: float) -> None:
    assert make_plan(seed, seconds) == make_plan(seed, seconds)


def test_plan_differs_for_another_seed() -> None:
    assert make_plan(1, 600) != make_plan(2, 600)


@given(seeds, lengths)
def test_plan_has_every_kind(seed: int, seconds: float) -> None:
    assert {planned.kind for planned in make_plan(seed, seconds)} == set(KINDS)


@given(seeds, lengths)
def test_plan_never_overlaps_faults_of_one_lane(seed: int, seconds: float) -> None:
    plan = make_plan(seed, seconds)
    for lane in Lane:
        mine = [planned for planned in plan if planned.kind.lane is lane]
        assert all(first.over <= second.at for first, second in pairwise(mine))


@given(seeds)
def test_plan_overlaps_faults_of_different_lanes(seed: int) -> None:
    plan = make_plan(seed, 60)
    assert any(at_one_time(plan, planned.at) >= 4 for planned in plan)


@given(seeds, lengths)
def test_plan_is_numbered_in_order_and_within_the_run(seed: int, seconds: float) -> None:
    plan = make_plan(seed, seconds)
    assert [planned.number for planned in plan] == list(range(len(plan)))
    assert [planned.at for planned in plan] == sorted(planned.at for planned in plan)
    assert all(0 <= planned.at <= seconds for planned in plan)


@given(seeds)
def test_plan_has_every_kind_once_when_short(seed: int) -> None:
    assert set(Counter(planned.kind for planned in make_plan(seed, 60)).values()) == {1}


@settings(max_examples=20)
@given(seeds)
def test_plan_has_short_and_long_outages_when_long(seed: int) -> None:
    plan = make_plan(seed, 3600)
    faults = [as_injected(planned) for planned in plan if not is_partial(planned)]
    outages = blocked(faults, ("any", "one"))
    lengths = [end - begin for begin, end in outages]
    calms = [after[0] - before[1] for before, after in pairwise(outages)]
    assert sum(length < MARGIN for length in lengths) > len(lengths) / 3
    assert any(length > MARGIN for length in lengths)
    assert sum(calm > MARGIN for calm in calms) > 20


@given(seeds, lengths)
def test_plan_has_silent_watches_early_enough(seed: int, seconds: float) -> None:
    plan = make_plan(seed, seconds)
    silent = [planned.at for planned in plan if planned.kind.name == "connection: watches silent"]
    assert all(at + 75 <= seconds + 60 for at in silent)


def test_plan_leaves_out_what_cannot_be_injected() -> None:
    plan = make_plan(1, 600, leave_out=frozenset({"clock: 5 min ahead"}))
    assert "clock: 5 min ahead" not in {planned.kind.name for planned in plan}
    assert "clock: 5 min behind" in {planned.kind.name for planned in plan}


def test_every_kind_has_its_own_name_and_an_injector() -> None:
    assert len(BY_NAME) == len(KINDS)
    assert set(FAULTS) == set(BY_NAME)


@pytest.mark.parametrize("seconds", [60, WAVES_FROM - 1, WAVES_FROM, 7200])
def test_plan_exists_for_any_length(seconds: float) -> None:
    assert make_plan(0, seconds)


def at_one_time(plan: tuple[Planned, ...], moment: float) -> int:
    return sum(planned.at <= moment <= planned.over for planned in plan)


def as_injected(planned: Planned) -> Fault:
    return Fault(planned.kind, planned.at, planned.over)


def is_partial(planned: Planned) -> bool:
    """Return whether it affects only some resources."""
    partial = (Lane.CREDENTIALS, Lane.USERS, Lane.WRITERS, Lane.RIGHTS, Lane.NAMESPACES)
    return planned.kind.lane in partial
