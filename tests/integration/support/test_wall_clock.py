"""The settable wall clock, as a program sees it."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support import wall_clock
from tests.support.wall_clock import WallClock

pytestmark = pytest.mark.skipif(not wall_clock.can_be_set(), reason=wall_clock.MISSING)

PROGRAM = """
import sys, time
from datetime import datetime
for _ in sys.stdin:
    print(time.time(), datetime.now().timestamp(), time.monotonic(), flush=True)
"""


def test_wall_clock_steps_without_the_monotonic_clock(tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | clock.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for seconds in (0, 300, -300, 0):
            clock.set(timedelta(seconds=seconds))
            process.stdin.write("\n")
            wall, date, monotonic = map(float, process.stdout.readline().split())
            assert wall - time.time() == pytest.approx(seconds, abs=1)
            assert date - time.time() == pytest.approx(seconds, abs=1)
            assert monotonic - time.monotonic() == pytest.approx(0, abs=1)
        process.stdin.close()
