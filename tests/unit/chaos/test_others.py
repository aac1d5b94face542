from collections.abc import Sequence

import pytest

from tests.chaos.analysis.leaders import Tenure
from tests.chaos.analysis.others import (
    disputes,
    fast_fights,
    losses,
    most_repairs,
    spills,
    strangers,
)
from tests.chaos.faults.catalog import BY_NAME
from tests.chaos.records import Belonging, Claim, ExpiredRead, Fault, Fight, Write

KEY = ("chaos-2", "token-000")
OTHER = ("chaos-3", "token-000")
FIGHT = Fight(KEY, 100, 110, 9)
LEADER = Tenure("operator-0", 0, 500)
BINDINGS = BY_NAME["partial rights: RoleBindings removed"]


def writes(count: int, *, since: float = 100) -> list[Write]:
    moments = [since + 10 * number / count for number in range(count)]
    return [Write("operator-0", at, at, "patch secrets", secret=KEY) for at in moments]


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        pytest.param(0, 5, id="some in a row"),
        pytest.param(1.9, 5, id="before the first delay is over"),
        pytest.param(2, 6, id="after the first delay"),
        pytest.param(6, 7, id="after the second, twice as long"),
        pytest.param(14, 8, id="after the third"),
    ],
)
def test_most_repairs_follow_delays_that_double(seconds: float, count: int) -> None:
    assert most_repairs(seconds) == count


@pytest.mark.parametrize(
    ("made", "held", "faults", "fast"),
    [
        pytest.param(writes(18), [LEADER], [], False, id="as many as allowed"),
        pytest.param(writes(19), [LEADER], [], True, id="one more"),
        pytest.param(writes(19, since=200), [LEADER], [], False, id="after the fight"),
        pytest.param(
            writes(19),
            [Tenure("operator-0", 0, 104), Tenure("operator-1", 105, 500)],
            [],
            False,
            id="by two leaders",
        ),
        pytest.param(
            writes(19),
            [LEADER],
            [Fault(BY_NAME["users: labels removed"], 101, 102, frozenset({KEY}))],
            False,
            id="one caused by something else",
        ),
        pytest.param(
            writes(19),
            [LEADER],
            [Fault(BY_NAME["users: labels removed"], 101, 102, frozenset({OTHER}))],
            True,
            id="something else elsewhere",
        ),
    ],
)
def test_fight_is_fast_if_repairs_are_not_damped(
    made: Sequence[Write], held: Sequence[Tenure], faults: Sequence[Fault], *, fast: bool
) -> None:
    assert bool(fast_fights([FIGHT], made, held, faults)) == fast


@pytest.mark.parametrize(
    ("after", "loss"),
    [
        pytest.param({"key a": "1", "label b": "2"}, [], id="nothing"),
        pytest.param(None, ["it was removed"], id="all of it"),
        pytest.param({"key a": "1"}, ["it: label b was removed"], id="a part"),
        pytest.param({"key a": "3", "label b": "2"}, ["it: key a was changed"], id="a value"),
        pytest.param(
            {"key a": "1", "label b": "2", "key c": "3"}, ["it: key c was added"], id="a new part"
        ),
    ],
)
def test_losses_name_each_part_that_differs(after: dict[str, str] | None, loss: list[str]) -> None:
    assert losses([Belonging("it", {"key a": "1", "label b": "2"}, after)]) == loss


def test_strangers_are_written_secrets_that_are_no_targets() -> None:
    lease = Write("operator-0", 1, 1, "update leases", "operator-0")
    assert strangers([*writes(1), lease], frozenset({KEY})) == []
    assert strangers([*writes(1), lease], frozenset({OTHER})) == ["patch secrets at 100.0 s"]


@pytest.mark.parametrize(
    ("ready", "owner", "disputed"),
    [
        pytest.param({"one"}, "one", False, id="one"),
        pytest.param({"one", "two"}, "one", True, id="two"),
        pytest.param(set(), None, True, id="none"),
        pytest.param({"one"}, "two", True, id="not the one that is ready"),
        pytest.param({"one"}, None, True, id="neither"),
    ],
)
def test_dispute_is_any_other_number_of_owners_than_one(
    ready: set[str], owner: str | None, *, disputed: bool
) -> None:
    assert bool(disputes([Claim(KEY, frozenset(ready), owner)])) == disputed


@pytest.mark.parametrize(
    ("fault", "spilled"),
    [
        pytest.param(Fault(BINDINGS, 90, 110, frozenset({OTHER})), True, id="elsewhere"),
        pytest.param(Fault(BINDINGS, 90, 110, frozenset({KEY})), False, id="in its own namespace"),
        pytest.param(Fault(BINDINGS, 20, 60, frozenset({OTHER})), False, id="long before"),
        pytest.param(
            Fault(BY_NAME["endpoint: down"], 90, 110), False, id="of everything, not of rights"
        ),
    ],
)
def test_spill_is_an_expired_token_during_a_fault_elsewhere(fault: Fault, *, spilled: bool) -> None:
    assert bool(spills([ExpiredRead(KEY, 105, 104)], [fault], 30.0)) == spilled
