"""Breaks everything around the operator on purpose and reports whether it kept its promises.

    make chaos

CHAOS_MINUTES (10) is how long faults are injected. CHAOS_SEED decides which faults; the same seed
gives the same faults. With an even one, the operator watches a list of namespaces; with an odd one,
all of them. CHAOS_RESOURCES (200) is the number of resources. CHAOS_DIRECTORY (chaos-report) gets
report.json, lifetimes.svg and the logs. Exit status: 0 all promises were kept; 1 a promise was
broken or the run could not go on; 2 a variable is invalid; 130, 143 stopped by a signal.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.analysis import report
from tests.chaos.environment import REPLICAS
from tests.chaos.run import run
from tests.chaos.settings import read_settings
from tests.support import wall_clock
from tests.support.program import begin_clean_up, run_program, say

_KEPT = ("report.json", "lifetimes.svg")
_LOGS = (
    *(f"{name}/operator.log" for name in REPLICAS),
    *(f"cluster/{name}.log" for name in ("audit", "kube-apiserver", "controllers")),
)


def main() -> int:
    """Run, and return the exit status."""
    settings = read_settings(os.environ)
    say(f"Seed {settings.seed}: CHAOS_SEED={settings.seed} injects the same faults again.")
    if not wall_clock.can_be_set():
        say(f"Faults of the clock are left out: {wall_clock.MISSING}.")
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        directory = Path(scratch)
        try:
            verdict = run(settings, directory, say)
        finally:
            begin_clean_up()
            _keep(directory, settings.directory)
        for line in report.lines(verdict):
            say(line)
        say(f"  see {settings.directory} for {', '.join(_KEPT)} and the logs")
        return int(not verdict.kept)


def _keep(directory: Path, target: Path) -> None:
    for name in (*_KEPT, *_LOGS):
        if (directory / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(directory / name, target / name)


if __name__ == "__main__":
    sys.exit(run_program("chaos", main))
