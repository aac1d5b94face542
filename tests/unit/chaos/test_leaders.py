import pytest

from tests.chaos.analysis.leaders import Tenure, failover, non_leader_writes, tenures
from tests.chaos.records import Write

A, B = "operator-0", "operator-1"


def lease(replica: str, at: float, *, held: bool = True) -> Write:
    return Write(replica, at, at + 0.1, "update leases", replica if held else "")


def write(replica: str, at: float) -> Write:
    return Write(replica, at, at + 0.1, "patch secrets")


HANDED_OVER = [lease(A, 0), lease(A, 2), lease(B, 17), lease(B, 19)]


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        pytest.param([], [], id="nobody ever led"),
        pytest.param(
            [lease(A, 0), lease(A, 2), lease(A, 4)],
            [Tenure(A, 0.1, 4)],
            id="renewals are one tenure",
        ),
        pytest.param(
            HANDED_OVER, [Tenure(A, 0.1, 2), Tenure(B, 17.1, 19)], id="one leader after another"
        ),
        pytest.param(
            [lease(A, 0), lease(A, 2, held=False), lease(A, 5)],
            [Tenure(A, 0.1, 0.1), Tenure(A, 5.1, 5.1)],
            id="a Lease released and acquired again is two tenures",
        ),
    ],
)
def test_tenures_name_who_held_the_lease(writes: list[Write], expected: list[Tenure]) -> None:
    assert tenures(writes) == expected


@pytest.mark.parametrize(
    ("one", "leader"),
    [
        pytest.param(write(A, 1), None, id="the leader writes"),
        pytest.param(write(B, 1), A, id="another replica writes"),
        pytest.param(write(A, 18), B, id="the former leader writes"),
        pytest.param(write(A, 10), None, id="nobody is known to lead"),
        pytest.param(write(A, 17.05), None, id="the Lease was not written yet"),
    ],
)
def test_non_leader_writes_are_found(one: Write, leader: str | None) -> None:
    found = non_leader_writes([*HANDED_OVER, one], tenures(HANDED_OVER))
    assert [each.leader for each in found] == ([leader] if leader else [])


def test_failover_ends_with_the_next_tenure() -> None:
    held = tenures(HANDED_OVER)
    assert failover(held, 3) == pytest.approx(14.1)
    assert failover(held, 18) is None
