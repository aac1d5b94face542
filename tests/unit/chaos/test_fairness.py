import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.analysis.fairness import blocked, chance, judge_reads, longest_gap, overlap
from tests.chaos.faults.catalog import BY_NAME
from tests.chaos.promises import FAILOVER, HANDOVER, START
from tests.chaos.records import ExpiredRead, Fault, Interval

KEY = ("default", "search")
OTHER = ("default", "other")
MARGIN = 30.0


def fault(name: str, began: float, ended: float, *affects: tuple[str, str]) -> Fault:
    return Fault(BY_NAME[name], began, ended, frozenset(affects) if affects else None)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        pytest.param([], [], id="no fault blocks nothing"),
        pytest.param(
            [fault("endpoint: down", 10, 20)], [(10, 20)], id="an outage blocks while it lasts"
        ),
        pytest.param([fault("connection: cut", 10, 20)], [], id="a harmless fault does not count"),
        pytest.param(
            [fault("endpoint: down", 10, 20), fault("endpoint: hang", 15, 30)],
            [(10, 30)],
            id="overlapping outages are merged",
        ),
        pytest.param(
            [fault("endpoint: hang", 20, 30), fault("endpoint: down", 10, 20)],
            [(10, 30)],
            id="adjacent outages are merged in any order",
        ),
        pytest.param(
            [fault("endpoint: down", 10, 40), fault("endpoint: hang", 15, 30)],
            [(10, 40)],
            id="an outage within another adds nothing",
        ),
        pytest.param(
            [fault("credentials: wrong for a while", 10, 20, KEY)],
            [(10, 20)],
            id="wrong credentials block the resources that use them",
        ),
        pytest.param(
            [fault("credentials: wrong for a while", 10, 20, OTHER)],
            [],
            id="wrong credentials block no other resource",
        ),
        pytest.param(
            [fault("operator: leader killed", 10, 10)],
            [(10, 10 + FAILOVER)],
            id="a killed leader blocks until the promised failover",
        ),
        pytest.param(
            [fault("operator: leader frozen", 10, 34)],
            [(10, 10 + FAILOVER)],
            id="a frozen leader blocks no longer than that",
        ),
        pytest.param(
            [fault("replies: 503", 8, 12), fault("operator: leader terminated", 10, 10)],
            [(8, 10 + FAILOVER)],
            id="unreleased Lease blocks until it expires",
        ),
        pytest.param(
            [fault("replies: 503", 8, 30), fault("operator: all replicas restarted", 10, 10)],
            [(8, 30 + FAILOVER + START)],
            id="all replicas restart once the API server is back",
        ),
        pytest.param(
            [fault("replies: 503", 0, 5), fault("operator: leader terminated", 10, 10)],
            [(0, 5), (10, 10 + HANDOVER)],
            id="an earlier outage of the API server does not matter",
        ),
        pytest.param(
            [fault("endpoint: down", 8, 30), fault("operator: leader terminated", 10, 10)],
            [(8, 30)],
            id="an outage of the token endpoint does not affect the Lease",
        ),
    ],
)
def test_blocked_merges_what_prevents_exchanges(
    faults: list[Fault], expected: list[Interval]
) -> None:
    assert blocked(faults, KEY) == expected


@pytest.mark.parametrize(
    ("intervals", "gap"),
    [
        pytest.param([], 40, id="nothing is blocked"),
        pytest.param([(90, 150)], 0, id="everything is blocked"),
        pytest.param([(110, 115)], 25, id="the longer of two gaps"),
        pytest.param([(105, 110), (120, 125)], 15, id="the longest of three gaps"),
        pytest.param([(90, 110)], 30, id="blocked at the beginning"),
        pytest.param([(130, 150)], 30, id="blocked at the end"),
        pytest.param([(50, 60), (150, 160)], 40, id="blocked before and after"),
    ],
)
def test_longest_gap_between_intervals(intervals: list[Interval], gap: float) -> None:
    assert longest_gap(intervals, 100, 140) == gap


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(1, 30)), max_size=6),
    st.integers(0, 60),
    st.integers(1, 60),
)
def test_longest_gap_equals_counting_second_by_second(
    spans: list[tuple[int, int]], begin: int, length: int
) -> None:
    faults = [fault("endpoint: down", at, at + long) for at, long in spans]
    longest = run = 0
    for second in range(begin, begin + length):
        free = not any(at <= second < at + long for at, long in spans)
        run = run + 1 if free else 0
        longest = max(longest, run)
    outages = blocked(faults, KEY)
    assert longest_gap(outages, begin, begin + length) == longest
    apart = length - overlap(outages, begin, begin + length)
    assert longest <= apart <= length


@pytest.mark.parametrize(
    ("intervals", "read_at", "expected"),
    [
        pytest.param([], 100, 30, id="nothing was blocked"),
        pytest.param([(75, 80)], 100, 20, id="a short outage left most of the margin"),
        pytest.param([(60, 100)], 100, 0, id="an outage took all of the margin"),
        pytest.param([(60, 100)], 145, 45, id="time after the expiry counts too"),
        pytest.param([(0, 60)], 100, 30, id="an outage before the token was due does not count"),
    ],
)
def test_chance_is_the_longest_time_to_prevent_the_read(
    intervals: list[Interval], read_at: float, expected: float
) -> None:
    assert chance(ExpiredRead(KEY, read_at, expired_at=100), intervals, MARGIN) == expected


@pytest.mark.parametrize(
    ("faults", "verdict"),
    [
        pytest.param([], "unexcused", id="no fault"),
        pytest.param([fault("connection: cut", 80, 80)], "unexcused", id="no fault that blocks"),
        pytest.param([fault("endpoint: down", 60, 101)], "excused", id="a long outage"),
        pytest.param([fault("endpoint: down", 80, 101)], "short", id="a short outage"),
    ],
)
def test_judge_reads_blames_the_operator_or_the_faults(faults: list[Fault], verdict: str) -> None:
    read = ExpiredRead(KEY, 100.5, expired_at=100)
    judged = judge_reads([read], faults, MARGIN)
    found = {
        "unexcused": judged.unexcused,
        "short": judged.in_short_outages,
        "excused": judged.excused,
    }
    assert [name for name, reads in found.items() if reads] == [verdict]


def test_read_of_a_restored_token_counts_from_its_restoration() -> None:
    restored = BY_NAME["other writers: old Secret restored"]
    read = ExpiredRead(KEY, 205, 150)
    before = judge_reads([read], [Fault(restored, 170, 171, frozenset({KEY}))], 30.0)
    just_now = judge_reads([read], [Fault(restored, 200, 201, frozenset({KEY}))], 30.0)
    elsewhere = judge_reads([read], [Fault(restored, 200, 201, frozenset({("a", "b")}))], 30.0)

    assert before.unexcused
    assert just_now.restored == [read]
    assert elsewhere.unexcused
