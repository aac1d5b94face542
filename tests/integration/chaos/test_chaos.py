"""`make chaos` as a developer runs it, but short: every kind of fault once, within a minute."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.faults.catalog import BY_NAME
from tests.chaos.population import SECRET_PREFIX
from tests.support import wall_clock
from tests.support.cluster import Cluster
from tests.support.repository import ROOT
from tests.support.token_endpoint import TOKEN_PREFIX

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS, Cluster.CONTROLLERS)


def test_promises_hold_under_every_kind_of_fault(tmp_path: Path) -> None:
    settings = {"MINUTES": "1", "SEED": "4", "RESOURCES": "20", "DIRECTORY": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos"],
        cwd=ROOT,
        env=os.environ | {f"CHAOS_{name}": value for name, value in settings.items()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )

    output = done.stdout + done.stderr
    assert TOKEN_PREFIX not in output
    assert SECRET_PREFIX not in output
    assert done.returncode == 0, output
    assert "Traceback" not in output
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["kept"] is True
    clocks = (
        set()
        if wall_clock.can_be_set()
        else {name for name in BY_NAME if name.startswith("clock:")}
    )
    assert set(report["left_out"]) == clocks
    assert report["faults_by_kind"] == dict.fromkeys(BY_NAME.keys() - clocks, 1)
    assert report["expired_reads"]["unexcused"] == []
    assert (tmp_path / "lifetimes.svg").read_text("utf-8").startswith("<svg")
