"""Which copies count as late, and what excuses them."""

from collections.abc import Sequence

import pytest

from tests.chaos.analysis.copies import late_copies, late_removals
from tests.chaos.faults.catalog import BY_NAME
from tests.chaos.records import Fault, TokenChange, Unlabelling

SHARED = ("", "shared")
FIRST, SECOND = ("fleet-0", "shared-token"), ("fleet-1", "shared-token")
END = 200.0


def fault(name: str, began: float, ended: float, *affects: tuple[str, str]) -> Fault:
    return Fault(BY_NAME[name], began, ended, frozenset(affects) if affects else None)


OUTAGE = fault("replies: 503", 98, 104)
KILLED = fault("operator: leader killed", 100, 100)


def held(*changes: tuple[float, float | None]) -> list[TokenChange]:
    """Return changes of a copy: when, and when the token was issued."""
    return [TokenChange(*change) for change in changes]


@pytest.mark.parametrize(
    ("second", "faults", "late"),
    [
        pytest.param(held((1, 0), (101, 99)), [], False, id="soon"),
        pytest.param(held((1, 0), (120, 99)), [], True, id="long after"),
        pytest.param(held((1, 0)), [], True, id="never"),
        pytest.param(held((1, 0), (102, 101)), [], False, id="a newer one instead"),
        pytest.param(held((1, 0), (120, 99)), [OUTAGE], False, id="retried after an outage"),
        pytest.param(held((1, 0), (190, 99)), [OUTAGE], True, id="long after an outage"),
        pytest.param(held((1, 0), (117, 99)), [KILLED], False, id="failover"),
        pytest.param(
            held((1, 0), (110, None), (115, 99)),
            [fault("namespaces: labels removed", 98, 112, SECOND)],
            False,
            id="not selected",
        ),
        pytest.param(
            held((1, 0), (120, 99)),
            [fault("namespaces: labels removed", 98, 112, FIRST)],
            True,
            id="another is not selected",
        ),
        pytest.param(
            held((1, 0), (116, 99)), [fault("endpoint: down", 90, 92)], False, id="other retries"
        ),
    ],
)
def test_copy_is_late_if_another_has_the_token_for_long(
    second: Sequence[TokenChange], faults: Sequence[Fault], *, late: bool
) -> None:
    copies = {SHARED: {FIRST: held((1, 0), (100, 99), (101, 101)), SECOND: second}}
    if not any(one.issued_at == 101 for one in second):
        copies[SHARED][FIRST] = held((1, 0), (100, 99))
    assert bool(late_copies(copies, faults, END)) == late


@pytest.mark.parametrize(
    ("changes", "faults", "late"),
    [
        pytest.param(held((1, 0), (51, None)), [], False, id="soon"),
        pytest.param(held((1, 0), (58, None)), [], True, id="long after"),
        pytest.param(held((1, 0)), [], True, id="never"),
        pytest.param(held((1, 0), (20, None), (21, 0)), [], True, id="gone before, not since"),
        pytest.param(held((1, 0)), [fault("replies: 503", 45, 48)], False, id="an outage"),
        pytest.param(
            held((1, 0)),
            [fault("namespaces: labels removed", 50, 60, FIRST)],
            True,
            id="the fault itself is no excuse",
        ),
        pytest.param(
            held((1, 0)), [fault("connection: watches silent", 5, 15)], False, id="silent watches"
        ),
    ],
)
def test_copy_that_outlives_the_label_is_late(
    changes: Sequence[TokenChange], faults: Sequence[Fault], *, late: bool
) -> None:
    unlabelled = [Unlabelling(FIRST, 50, 60)]
    assert bool(late_removals({SHARED: {FIRST: changes}}, unlabelled, faults)) == late
