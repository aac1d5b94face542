"""Soaking repeats a suite under load and reports every run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.load import Load
from tests.soak.runs import soak, table
from tests.support.api import eventually
from tests.support.repository import ROOT

# Fails in its second run.
SUITE = """
from pathlib import Path

def test_counter() -> None:
    runs = Path("runs")
    runs.write_text((runs.read_text() if runs.exists() else "") + "x")
    assert runs.read_text() != "xx"
"""


def test_each_run_is_reported(tmp_path: Path) -> None:
    suite = tmp_path / "test_suite.py"
    suite.write_text(SUITE, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    script = f"cd {tmp_path} && PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 exec {' '.join(command)}"
    said: list[str] = []
    load = Load(1)  # not entered: it says how busy the machine is, and starts no busy loops

    runs = soak(["sh", "-c", script], 3, load, tmp_path / "report", said.append)

    assert [run.code for run in runs] == [0, 1, 0]
    assert [run.summary for run in runs] == ["1 passed", "1 failed", "1 passed"]
    (broken,) = runs[1].broken
    assert broken.startswith("FAILED test_suite.py::test_counter")
    assert all(0 < run.lowest <= run.mean for run in runs)
    assert "test_counter" in (tmp_path / "report" / "run-2.log").read_text("utf-8")
    assert [line.split()[0] for line in table(runs)] == ["run", "1", "2", "3"]
    assert said[0].startswith("run 1/3 starts")


def test_busy_loops_increase_until_the_load_is_reached() -> None:
    with Load(10_000, check_seconds=0.2) as load:
        first = len(load.processes)
        assert first >= 2
        eventually(lambda: len(load.processes) > first, "another busy loop")
    for process in load.processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.parametrize("value", ["0", "many"])
def test_invalid_number_of_runs_is_refused(value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak"],
        cwd=ROOT,
        env={"SOAK_RUNS": value, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "SOAK_RUNS" in done.stderr
