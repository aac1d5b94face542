"""Breaks everything around the operator on purpose, and tells whether its promises were kept.

    make chaos

CHAOS_MINUTES (10) is how long faults are made. CHAOS_SEED decides which; the same seed gives the
same faults. CHAOS_RESOURCES (200) is how many resources there are. CHAOS_DIRECTORY (chaos-report)
gets report.json, life.svg and the logs. Exit status: 0 all promises were kept; 1 one was broken, or
the run could not go on; 2 a variable cannot be used; 130, 143 stopped by a signal.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import httpx

from tests.chaos import report
from tests.chaos.place import REPLICAS
from tests.chaos.run import run
from tests.chaos.settings import SettingsError, read_settings
from tests.chaos.stubborn import ChaosError
from tests.support import wall_clock
from tests.support.api import KubeError
from tests.support.cluster import ClusterError
from tests.support.control_plane import BuildError
from tests.support.operator_process import OperatorError
from tests.support.program import begin_clean_up, clean_up_on_signals, complain, say

_KEPT = ("report.json", "life.svg")
_LOGS = (
    *(f"{name}/operator.log" for name in REPLICAS),
    *(f"cluster/{name}.log" for name in ("audit", "kube-apiserver", "kube-controller-manager")),
)


def main() -> int:
    """Run, and return the exit status."""
    clean_up_on_signals()
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        complain("chaos", error)
        return 2
    say(f"Seed {settings.seed}: CHAOS_SEED={settings.seed} makes the same faults again.")
    if not wall_clock.can_be_set():
        say(f"One thing is left out: {wall_clock.MISSING}.")
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        directory = Path(scratch)
        try:
            outcome = run(settings, directory, say)
        except (ChaosError, BuildError, ClusterError, OperatorError, KubeError) as error:
            complain("chaos", error)
            return 1
        except httpx.HTTPError as error:
            complain("chaos", f"the API server does not answer any more: {error!r}")
            return 1
        finally:
            begin_clean_up()
            _keep(directory, settings.directory)
        for line in report.lines(outcome):
            say(line)
        say(f"  more in {settings.directory}: {', '.join(_KEPT)} and logs")
        return int(not outcome.kept)


def _keep(directory: Path, target: Path) -> None:
    for name in (*_KEPT, *_LOGS):
        if (directory / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(directory / name, target / name)


if __name__ == "__main__":
    sys.exit(main())
