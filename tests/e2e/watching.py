"""Steps 3 to 5: the file is watched while everything around the token is disrupted."""

import itertools
import math
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.node_cluster import NODE
from tests.e2e.readings import Readings, delays, fingerprint, shortest_left
from tests.e2e.release import Release
from tests.e2e.stage import Stage, say
from tests.e2e.team import TARGET, Team
from tests.e2e.user import eventually
from tests.support.chart import CHART

_WRITES = ("create", "patch")


def watch(stage: Stage, release: Release, team: Team) -> None:
    """Watch the file, disrupt things at moments spread over that time, then judge."""
    started = time.monotonic()
    disruptions = (
        (0.05, "the leading pod is deleted", lambda: _delete_leader(release)),
        (0.2, "the kubelet is restarted", lambda: _restart_kubelet(stage)),
        (0.45, "the chart is upgraded", lambda: release.upgrade(_next_version(stage))),
        (0.65, "the chart is rolled back", release.roll_back),
        (
            0.8,
            "the leading pod is deleted without a grace period",
            lambda: _delete_leader(release, now=True),
        ),
    )
    for share, what, disrupt in disruptions:
        _sleep_until(started + share * stage.form.watch)
        with stage.step(f"4-5. {what}"):
            _report(stage, what, disrupt)
    _sleep_until(started + stage.form.watch)
    # Otherwise the slowest changes would not count.
    eventually(
        lambda: _all_read_the_latest(stage, team), "all readers have the latest token", 120.0
    )
    _judge(stage, team)


def _report(stage: Stage, what: str, disrupt: Callable[[], dict[str, float] | None]) -> None:
    if figures := disrupt():
        stage.found[what] = figures


def _delete_leader(release: Release, *, now: bool = False) -> dict[str, float]:
    leader = release.leader()
    how = ("--grace-period=0", "--force") if now else ("--wait=false",)
    began = time.monotonic()
    release.stage.user.kubectl("--namespace", release.name, "delete", "pod", leader, *how)
    release.another_leader(leader)
    taken = time.monotonic() - began
    release.roll_out()
    return {"seconds until another pod leads": round(taken, 1)}


def _restart_kubelet(stage: Stage) -> None:
    stage.node.stop_kubelet()
    stage.node.start_kubelet()
    healthy = ("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/healthz")
    eventually(lambda: stage.user.works(*healthy), "the kubelet is healthy")


def _next_version(stage: Stage) -> Path:
    """Return the chart with the next version number, whose image is loaded too."""
    chart = stage.directory / "next" / CHART.name
    shutil.copytree(CHART, chart)
    path = chart / "Chart.yaml"
    path.write_text(path.read_text("utf-8").replace(": 0.1.0", ": 0.1.1"), "utf-8")
    stage.node.tag(stage.image, stage.image.rpartition(":")[0] + ":0.1.1")
    return chart


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _all_read_the_latest(stage: Stage, team: Team) -> bool:
    latest = fingerprint(max(stage.endpoint.issued, key=lambda token: _issued_at(stage, token)))
    return all(latest in each.changes for each in team.readings())


def _issued_at(stage: Stage, token: str) -> float:
    return stage.endpoint.issued[token].issued_at


def _judge(stage: Stage, team: Team) -> None:
    readings = team.readings()
    assert len(readings) == stage.form.readers
    # The endpoint's clock is monotonic; the readers' clock is the time of day.
    shift = time.time() - time.monotonic()
    expiries = {
        fingerprint(token): issue.expires_at + shift
        for token, issue in stage.endpoint.issued.items()
    }
    left = shortest_left(readings, expiries)
    taken = delays(readings, _writes(stage, team))
    stale = team.stale_readings()
    stage.found |= {
        "lifetime of a token, s": stage.form.lifetime,
        "watched, s": stage.form.watch,
        "readers": len(readings),
        "changes seen": len(taken),
        "shortest remaining lifetime in the file, s": round(left, 1),
        "delay from Secret to file, s": _spread(taken),
        "lifetime left at the end, from an environment variable, s": _last(stale["environment"]),
        "lifetime left at the end, from a subPath, s": _last(stale["subpath"]),
        "exchanges while watched": _exchanges(stage),
    }
    say(f"shortest remaining lifetime in the file: {left:.1f} s; delays: {_spread(taken)}")
    assert taken, "no change was seen"
    assert left > 0, "an expired token was read"
    for how, others in stale.items():
        assert all(len(each.changes) == 1 for each in others), f"{how} changed"
        assert all(each.last_left < 0 for each in others), f"{how} has not expired yet"


def _writes(stage: Stage, team: Team) -> list[float]:
    return [
        one.answered_at.timestamp()
        for one in stage.audit.since(0)
        if (one.resource, one.name, one.namespace) == ("secrets", TARGET, team.namespace)
        and one.verb in _WRITES
        and one.code < 300
    ]


def _exchanges(stage: Stage) -> dict[str, float]:
    """Return how many there were; none may be early, whatever is restarted."""
    at = sorted(issue.issued_at for issue in stage.endpoint.issued.values())
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    # A third of the lifetime, and up to a tenth more, is left at a refresh.
    earliest = math.floor(stage.form.lifetime * (1 - 1 / 3 - 1 / 10))
    assert all(gap >= earliest - 1 for gap in gaps), f"a needless exchange: {gaps}"
    return {"number": len(at), "minimum seconds between two": round(min(gaps, default=math.inf), 1)}


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {
        "minimum": round(min(seconds), 1),
        "median": round(statistics.median(seconds), 1),
        "maximum": round(max(seconds), 1),
    }


def _last(readings: list[Readings]) -> float:
    return round(max(each.last_left for each in readings), 1)
