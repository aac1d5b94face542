import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tests.chaos.exchanges import Exchange, Tally
from tests.chaos.fairness import ExpiredRead, Fault
from tests.chaos.judge import Judged, Report, crashes
from tests.chaos.kinds import BY_NAME
from tests.chaos.leaders import Stray, Write
from tests.chaos.plot import svg
from tests.chaos.replicas import End
from tests.chaos.report import lines, to_json
from tests.chaos.watcher import Sample

KEY = ("chaos-0", "token-000")
FAULT = Fault(BY_NAME["control plane: API server killed"], 10, 16, note="<&>")

GOOD = Report(
    seed=1,
    resources=20,
    replicas=2,
    lifetime=90,
    margin=30.0,
    seconds=61.0,
    left_out=["clock: 5 min ahead"],
    faults=[FAULT],
    least_life=12.34,
    reads=Judged([], [], []),
    damaged_reads=3,
    overstated_reads=0,
    overstatement=0.0,
    latest_look=0.1,
    exchanges=44,
    tally=Tally({"first": 20, "due": 20}, {"unexplained": 1}, (Exchange(5.0, KEY, frozenset()),)),
    not_converged={},
    converged_after=2.5,
    fail_overs={"operator: leader killed": [15.2, 16.4]},
    strays=[],
    ends=[End("operator-0", 10.0, -9, asked=True, late=False)],
    crashes=[],
    leaks=[],
    strayed=0,
    logged_errors={"Leaving": 1},
)


def end(code: int, *, asked: bool = False, late: bool = False, at: float = 300.0) -> End:
    return End("operator-0", at, code, asked, late)


@pytest.mark.parametrize(
    ("one", "crash"),
    [
        pytest.param(end(-9, asked=True), False, id="killed by the harness"),
        pytest.param(end(0, asked=True), False, id="ended as told"),
        pytest.param(end(4), False, id="the Lease was lost"),
        pytest.param(end(4, asked=True), False, id="the Lease was lost just before"),
        pytest.param(end(3, at=50), False, id="the API server was away at the start"),
        pytest.param(end(3), True, id="the API server was there at the start"),
        pytest.param(end(1), True, id="an unexpected error"),
        pytest.param(end(1, asked=True), True, id="an unexpected error when told to end"),
        pytest.param(end(0), True, id="ended without being told"),
        pytest.param(end(-11), True, id="a segmentation fault"),
        pytest.param(end(-9, asked=True, late=True), True, id="went on after SIGTERM"),
    ],
)
def test_which_end_is_a_crash(one: End, *, crash: bool) -> None:
    assert bool(crashes([one], [FAULT], start=0.0)) == crash


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(
            replace(GOOD, reads=Judged([ExpiredRead(KEY, 50, 49)], [], [])), id="an expired token"
        ),
        pytest.param(
            replace(GOOD, not_converged={"a/b": "gone"}, converged_after=None), id="no convergence"
        ),
        pytest.param(
            replace(GOOD, strays=[Stray(Write("operator-0", 1, 2, "patch"), "operator-1")]),
            id="two leaders",
        ),
        pytest.param(replace(GOOD, crashes=["operator-0 ended"]), id="a crash"),
        pytest.param(replace(GOOD, leaks=["log of operator-0"]), id="a leak"),
        pytest.param(replace(GOOD, strayed=1), id="a redirect"),
    ],
)
def test_what_breaks_a_promise(broken: Report) -> None:
    assert GOOD.kept
    assert not broken.kept
    assert sum("BROKEN" in line for line in lines(broken)) == 1
    assert to_json(broken)["kept"] is False


def test_what_faults_excuse_breaks_none() -> None:
    read = ExpiredRead(KEY, 50, 49)
    assert replace(GOOD, reads=Judged([], [read], [read])).kept


def test_every_exchange_is_accounted_for() -> None:
    exchanges = to_json(GOOD)["exchanges"]
    assert exchanges["beyond_needed"] == {
        "unexplained": 1,
        "the endpoint was made to send the token in a reply of no use": 3,
    }
    counts = [*exchanges["needed"].values(), *exchanges["beyond_needed"].values()]
    assert sum(counts) == exchanges["total"]


def test_the_picture_is_well_formed_and_names_each_fault() -> None:
    samples = [Sample(0, None, None), Sample(1, 60, 80), Sample(2, -3, 70)]
    picture = ET.fromstring(svg(samples, [FAULT], 90, 30, "A <run> & more"))
    titles = [title.text or "" for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert "control plane: API server killed (<&>), 10 to 16 s" in titles
