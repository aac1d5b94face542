"""Builds programs from a pinned Go module."""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.control_plane.cache import scratch
from tests.support.control_plane.pins import Program
from tests.support.control_plane.progress import Progress, clock

# The figures in `pins` are of a machine with two cores. Linking uses one, whatever there is.
_RECORDED_CORES = 2
_SERIAL_SHARE = 0.15

_MAJOR_VERSION = re.compile(r"v[0-9]+")


class BuildError(Exception):
    """A program could not be had; the message says why and what to do."""


def build(
    programs: Sequence[Program], directory: Path, progress: Progress, done: int, total: int
) -> None:
    """Build programs of one module with one `go build`, which keeps all cores busy.

    Args:
        programs: which.
        directory: where they go; the caller holds its lock.
        progress: told how far the build is.
        done: how many programs were built before these.
        total: how many are wanted.

    Raises:
        BuildError: the build failed.
    """
    expected = clock(expected_seconds(programs))

    with scratch(directory) as work:
        output = work / "programs"

        def status(elapsed: float) -> str:
            left = [each for each in programs if not (output / _file_name(each)).exists()]
            number = min(total, done + len(programs) - len(left) + 1)
            names = _listed(left or programs)
            return f"{number}/{total} building {names} {clock(elapsed)} of about {expected}"

        output.mkdir()
        started = time.monotonic()
        with progress.step(status):
            _run_go(programs, output, work / "log")
        directory.mkdir(parents=True, exist_ok=True)
        for program in programs:
            (output / _file_name(program)).replace(directory / program.name)
    progress.say(f"built {_listed(programs)} in {clock(time.monotonic() - started)}")


def expected_seconds(programs: Sequence[Program]) -> float:
    """Return about how long a build takes on this machine, with an empty build cache."""
    recorded = sum(program.seconds for program in programs)
    share = _SERIAL_SHARE + (1 - _SERIAL_SHARE) * _RECORDED_CORES / (os.cpu_count() or 1)
    return recorded * share


def go_version(module: Path) -> str:
    """Return the oldest version of Go that builds a module."""
    text = (module / "go.mod").read_text("utf-8")
    return re.search(r"^go (\S+)$", text, re.MULTILINE)[1]  # type: ignore[index]


def _run_go(programs: Sequence[Program], output: Path, log_path: Path) -> None:
    module = programs[0].module
    flags = "-s -w"
    # Kubernetes' programs report the version that was linked in; others ignore it.
    if version := re.search(r"k8s\.io/kubernetes (v\S+)", (module / "go.mod").read_text("utf-8")):
        flags += f" -X k8s.io/component-base/version.gitVersion={version[1]}"
    # The container runtime's btrfs snapshotter needs a C compiler and headers.
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags", "no_btrfs"]
    command += ["-ldflags", flags, "-o", f"{output}{os.sep}", *(each.package for each in programs)]
    environ = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    environ.pop("GOGC", None)  # the compiler chooses better
    with log_path.open("w+", encoding="utf-8") as log:
        with subprocess.Popen(command, cwd=module, env=environ, stdout=log, stderr=log) as process:
            try:
                code = process.wait()
            finally:
                process.terminate()
        if code != 0:
            log.seek(0)
            raise BuildError(f"Building {_listed(programs)} failed:\n{log.read()[-4000:]}")


def _file_name(program: Program) -> str:
    """Return what `go build` calls a program: its package's last element that is not a version."""
    if program.package == ".":
        return program.module.name
    elements = program.package.split("/")
    return elements[-2] if _MAJOR_VERSION.fullmatch(elements[-1]) else elements[-1]


def _listed(programs: Sequence[Program]) -> str:
    *most, last = (each.name for each in programs)
    return f"{', '.join(most)} and {last}" if most else last
