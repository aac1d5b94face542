"""Runs the whole test suite several times while busy loops load the machine.

    make soak

SOAK_RUNS (5) is how often it runs. SOAK_LOAD (three for each core) is the load that the busy loops
keep up at least. The output of each run goes to soak-report/. Exit status: 0 all runs passed; 1 one
failed; 2 a variable is invalid; 130, 143 stopped by a signal.
"""

import os
import shutil
import sys
from typing import Final

from tests.soak.load import Load
from tests.soak.runs import soak, table
from tests.support.program import run_program, say
from tests.support.repository import ROOT
from tests.support.variables import whole_number

REPORT: Final = ROOT / "soak-report"


def main() -> int:
    """Run the suite again and again, and return the exit status."""
    runs = whole_number(os.environ, "SOAK_RUNS", "5", 1, 1000)
    load = whole_number(os.environ, "SOAK_LOAD", f"{3 * (os.cpu_count() or 1)}", 1, 10_000)
    shutil.rmtree(REPORT, ignore_errors=True)
    with Load(load) as busy:
        done = soak(["make", "-C", str(ROOT), "test"], runs, busy, REPORT, say)
    say("")
    for line in table(done):
        say(line)
    for run in done:
        for line in run.broken:
            say(f"run {run.number}: {line}")
    return int(any(run.code for run in done))


if __name__ == "__main__":
    sys.exit(run_program("soak", main))
