"""The sandbox of `make e2e` leaves the machine unchanged, however a run ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e import footprint, preconditions
from tests.support.repository import ROOT

OUTSIDE = """
import signal, sys
from tests.e2e import sandbox
# A process started in the background may ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
sys.exit(sandbox.run_inside([sys.executable, "-c", *sys.argv[1:]]))
"""
# What a node would leave behind on a machine without a sandbox.
INSIDE = """
import pathlib, subprocess, sys, time
from tests.e2e import sandbox
directory = pathlib.Path(sys.argv[1])
sandbox.prepare(directory, ["192.0.2.10"])
subprocess.run(["mount", "-t", "tmpfs", "test", "/mnt"], check=True)
subprocess.run(["ip", "link", "add", "test0", "type", "bridge"], check=True)
for group in pathlib.Path("/sys/fs/cgroup").glob("*/cgroup.procs"):
    (group.parent / "pods").mkdir(exist_ok=True)
pathlib.Path("/var/lib/left-behind").touch()
pathlib.Path("/run/left-behind").touch()
pathlib.Path("/proc/sys/vm/overcommit_memory").write_text("1")
pathlib.Path("/proc/sys/kernel/panic").write_text("11")
subprocess.Popen(["setsid", "sh", "-c", "sleep 1000; true", str(directory)])
(directory / "ready").touch()
if sys.argv[2] == "stay":
    time.sleep(1000)
sys.exit(3)
"""

pytestmark = pytest.mark.skipif(bool(preconditions.missing()), reason=preconditions.missing())


def start(directory: Path, how: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", OUTSIDE, INSIDE, str(directory), how]
    return subprocess.Popen(command, cwd=ROOT)


def wait_until_changed(directory: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not (directory / "ready").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def left_since(before: footprint.Footprint, directory: Path) -> list[str]:
    """Return what is left after killed processes have had a moment to exit."""
    deadline = time.monotonic() + 10
    while (left := footprint.take(directory).differences(before)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, -signal.SIGINT, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
    ],
)
def test_sandbox_leaves_nothing_when_interrupted(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    before = footprint.take(tmp_path)
    process = start(tmp_path, "stay")
    wait_until_changed(tmp_path, process)

    process.send_signal(number)

    assert process.wait(timeout=30) == code
    assert left_since(before, tmp_path) == []


def test_sandbox_leaves_nothing_when_its_program_fails(tmp_path: Path) -> None:
    before = footprint.take(tmp_path)

    assert start(tmp_path, "go").wait(timeout=30) == 3

    assert left_since(before, tmp_path) == []


def test_next_sandbox_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    before = footprint.take(tmp_path)
    process = start(tmp_path, "stay")
    wait_until_changed(tmp_path, process)

    process.kill()
    process.wait()

    # Nobody was left to remove the control groups; everything else disappeared by itself.
    assert {line.partition(":")[0] for line in left_since(before, tmp_path)} == {"cgroups"}
    assert start(tmp_path, "go").wait(timeout=30) == 3
    assert left_since(before, tmp_path) == []


def test_footprint_reports_what_is_left(tmp_path: Path) -> None:
    before = footprint.take(tmp_path)
    command = ["sh", "-c", "read line", str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)

    (left,) = footprint.take(tmp_path).differences(before)

    process.communicate(b"\n")
    assert left.startswith("processes: + ")
    assert footprint.take(tmp_path).differences(before) == []
