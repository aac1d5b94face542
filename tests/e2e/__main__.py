"""Installs the operator with helm on a real node and reads the token in pods.

    make e2e

It needs root on Linux and leaves the machine as it found it, whatever happens. E2E_SHORT=1 takes
less than half of the time, and E2E_STEPS=sidecar or E2E_STEPS=day-two runs only those steps. The
report is printed and written to e2e-report/ as JSON. Exit status: 0 passed; 1 failed; 77 this
machine cannot run it; 130, 143 stopped by a signal.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e import footprint, preconditions, report, sandbox
from tests.e2e.commands import CommandError
from tests.e2e.image import Image, facts, not_locked, operator_name
from tests.e2e.node import PAUSE
from tests.e2e.stage import say
from tests.support.control_plane import BuildError, binaries, cache_base
from tests.support.control_plane.pins import NODE_PROGRAMS
from tests.support.repository import ROOT

REPORT = ROOT / "e2e-report"
SKIPPED = 77  # automake's convention
_PREFIX = "pinecone-e2e-"  # of the runs' directories


def main() -> int:
    """Run it, and return the exit status."""
    if reason := preconditions.missing():
        print(f"e2e skipped: {reason}.", file=sys.stderr)
        return SKIPPED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with _alone():
            return _run()
    except (BuildError, CommandError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("e2e interrupted")
        return 130


def _run() -> int:
    started = time.monotonic()
    name, image = operator_name(), Image()
    archive, pause = image.build(name), image.pause(PAUSE)
    node = (program.name for program in NODE_PROGRAMS)
    binaries("etcd", "kube-apiserver", "kubectl", "helm", *node)
    prepared = time.monotonic()
    say(f"built programs and images in {prepared - started:.0f} s")

    seen = facts(archive)
    assert seen.packages
    assert not_locked(seen) == []
    found: dict[str, Any] = {"image": dataclasses.asdict(seen)}
    if not os.environ.get("E2E_STEPS"):
        found["image"]["differs_between_builds"] = image.build_again()
        assert found["image"]["differs_between_builds"] == []
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    before = footprint.take(directory)
    code = 1
    try:
        inside = [sys.executable, "-m", "tests.e2e.inside", "--directory", str(directory)]
        inside += ["--image", name, "--archive", str(archive), "--pause-archive", str(pause)]
        code = sandbox.run_inside(inside)
    finally:
        if (directory / "found.json").is_file():
            found |= json.loads((directory / "found.json").read_text("utf-8"))
        left = footprint.take(directory).differences(before)
        found["left on the machine"] = left
        found["seconds to prepare"] = round(prepared - started, 1)
        found["seconds in total"] = round(time.monotonic() - started, 1)
        _keep(directory, logs=code != 0)
        shutil.rmtree(directory)
        report.write(REPORT, found)
    if left:
        say("left on the machine:\n" + "\n".join(left))
        return 1
    say("e2e passed" if code == 0 else "e2e FAILED; logs are in e2e-report/")
    return code


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for another run to end, and remove what a killed run left behind."""
    cache_base().mkdir(parents=True, exist_ok=True)
    with (cache_base() / "e2e.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for stale in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            shutil.rmtree(stale)
        yield


def _keep(directory: Path, *, logs: bool) -> None:
    shutil.rmtree(REPORT, ignore_errors=True)
    REPORT.mkdir()
    if logs:
        for log in [*directory.glob("*/*.log"), *directory.rglob("pod-logs/*/*/*.log")]:
            name = str(log.relative_to(directory)).replace(os.sep, "+")
            shutil.copy(log, REPORT / name)


if __name__ == "__main__":
    sys.exit(main())
