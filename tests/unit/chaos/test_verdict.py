import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.analysis.plot import svg
from tests.chaos.analysis.report import lines, to_json
from tests.chaos.analysis.verdict import Verdict, crashes, judge
from tests.chaos.faults.catalog import BY_NAME
from tests.chaos.records import (
    Belonging,
    Claim,
    Exchange,
    ExpiredRead,
    Fault,
    Fight,
    Key,
    ProcessExit,
    Recording,
    Sample,
    TokenChange,
    Unlabelling,
    Write,
)

KEY = ("chaos-0", "token-000")
USERS = frozenset({KEY})
SHARED = ("", "shared")
COPY = ("fleet-0", "shared-token")
FAULT = Fault(BY_NAME["control plane: API server killed"], 10, 16, note="<&>")
LONG_OUTAGE = Fault(BY_NAME["endpoint: down"], 15, 50)

GOOD = Recording(
    seed=1,
    resources=20,
    replicas=2,
    lifetime=90,
    margin=30.0,
    seconds=61.0,
    scope="all namespaces",
    left_out=["clock: 5 min ahead"],
    faults=[FAULT],
    samples=[Sample(0, None, None), Sample(1, 60, 80), Sample(2, -3, 70)],
    minimum_lifetime=12.34,
    expired_reads=[],
    damaged_reads=3,
    overstated_reads=0,
    overstatement=0.0,
    max_read_delay=0.1,
    issued=6,
    exchanges=[Exchange(0, KEY, USERS), Exchange(60, KEY, USERS), Exchange(65, KEY, USERS)],
    writes=[
        Write("operator-0", 1, 1.1, "update leases", "operator-0"),
        Write("operator-0", 20, 20.1, "update leases", "operator-0"),
    ],
    targets=frozenset({KEY}),
    fights=[Fight(KEY, 20, 30, 8)],
    belongings=[Belonging("Secret a/b", {"key x": "1"}, {"key x": "1"})],
    claims=[Claim(KEY, frozenset({"one"}), "one")],
    copies={SHARED: {COPY: [TokenChange(20, 20), TokenChange(41, None)]}},
    unlabellings=[Unlabelling(COPY, 40, 50)],
    requests={},
    exits=[ProcessExit("operator-0", 10.0, -9, requested=True, overdue=False)],
    start=0.0,
    not_converged={},
    converged_after=2.5,
    leaks=[],
    redirects_followed=0,
    logged_errors={"Leaving": 1},
)


def verdict(**changes: Any) -> Verdict:
    return judge(replace(GOOD, **changes))


def process_exit(
    code: int, *, requested: bool = False, overdue: bool = False, at: float = 300.0
) -> ProcessExit:
    return ProcessExit("operator-0", at, code, requested, overdue)


def repair(at: float, secret: Key = KEY) -> Write:
    return Write("operator-0", at, at, "patch secrets", secret=secret)


@pytest.mark.parametrize(
    ("one", "crash"),
    [
        pytest.param(process_exit(-9, requested=True), False, id="killed by the harness"),
        pytest.param(process_exit(0, requested=True), False, id="exited when asked to"),
        pytest.param(process_exit(4), False, id="lost the Lease"),
        pytest.param(process_exit(4, requested=True), False, id="lost the Lease just before"),
        pytest.param(process_exit(3, at=50), False, id="API server down at the start"),
        pytest.param(process_exit(3), True, id="API server up at the start"),
        pytest.param(process_exit(1), True, id="unexpected error"),
        pytest.param(process_exit(1, requested=True), True, id="unexpected error on shutdown"),
        pytest.param(process_exit(0), True, id="exited without being asked to"),
        pytest.param(process_exit(-11), True, id="segmentation fault"),
        pytest.param(process_exit(-9, requested=True, overdue=True), True, id="ignored SIGTERM"),
    ],
)
def test_crash_is_an_exit_that_nothing_explains(one: ProcessExit, *, crash: bool) -> None:
    assert bool(crashes([one], [FAULT], start=0.0)) == crash


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"expired_reads": [ExpiredRead(KEY, 50, 49)]}, id="an expired token"),
        pytest.param(
            {"not_converged": {"a/b": "gone"}, "converged_after": None}, id="no convergence"
        ),
        pytest.param(
            {"writes": [*GOOD.writes, Write("operator-1", 5, 6, "patch secrets")]},
            id="a write by a replica that does not lead",
        ),
        pytest.param({"exits": [process_exit(1)]}, id="a crash"),
        pytest.param(
            {"writes": [*GOOD.writes, *[repair(20 + n / 10) for n in range(20)]]},
            id="a fight that is not damped",
        ),
        pytest.param(
            {"belongings": [Belonging("Secret a/b", {"key x": "1"}, None)]},
            id="someone else's Secret removed",
        ),
        pytest.param(
            {"writes": [*GOOD.writes, repair(5, ("chaos-0", "other"))]},
            id="someone else's Secret written",
        ),
        pytest.param({"claims": [Claim(KEY, frozenset({"one", "two"}), "one")]}, id="two owners"),
        pytest.param(
            {"copies": {SHARED: {**GOOD.copies[SHARED], KEY: [TokenChange(60, 20)]}}},
            id="a copy that is older than the others",
        ),
        pytest.param(
            {"copies": {SHARED: {COPY: [TokenChange(20, 20)]}}, "faults": []},
            id="a copy that outlives the label",
        ),
        pytest.param(
            {"exchanges": [Exchange(at, SHARED, frozenset({SHARED})) for at in (0, 5)]},
            id="two exchanges for one refresh",
        ),
        pytest.param({"leaks": ["log of operator-0"]}, id="a leak"),
        pytest.param({"redirects_followed": 1}, id="a redirect"),
    ],
)
def test_verdict_names_the_broken_promise(changes: dict[str, Any]) -> None:
    broken = verdict(**changes)

    assert verdict().kept
    assert not broken.kept
    assert sum("BROKEN" in line for line in lines(broken)) == 1
    assert to_json(broken)["kept"] is False


def test_verdict_excuses_reads_in_long_outages() -> None:
    excused = verdict(expired_reads=[ExpiredRead(KEY, 49, 45)], faults=[LONG_OUTAGE])

    assert excused.reads.excused
    assert excused.kept


def test_report_accounts_for_every_exchange() -> None:
    exchanges = to_json(verdict())["exchanges"]
    assert exchanges["beyond_needed"] == {
        "unexplained": 1,
        "the endpoint was made to send the token in an unusable reply": 3,
    }
    counts = [*exchanges["needed"].values(), *exchanges["beyond_needed"].values()]
    assert sum(counts) == exchanges["total"]


def test_plot_is_well_formed_and_names_each_fault() -> None:
    picture = ET.fromstring(svg(GOOD.samples, [FAULT], 90, 30, "A <run> & more"))
    titles = [title.text or "" for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert "control plane: API server killed (<&>), 10 to 16 s" in titles
