"""The control groups of a run: one in each hierarchy, with all processes of the run below it."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.commands import run
from tests.e2e.footprint import CGROUP_PREFIX, CGROUPS, is_owned

_REMOVAL_SECONDS = 20.0
# Mount options that say nothing about the hierarchy.
_COMMON_OPTIONS = {"rw", "ro", "nosuid", "nodev", "noexec", "relatime", "xattr", "nsdelegate"}


@contextlib.contextmanager
def groups() -> Iterator[list[Path]]:
    """Create a group in each hierarchy, and remove it with everything below it at the end.

    Groups of earlier runs that were killed are removed too.
    """
    made = [parent / f"{CGROUP_PREFIX}{os.getpid()}" for parent in _parents()]
    for group in made:
        _sweep(group.parent)
    try:
        for group in made:
            group.mkdir()
            _let_in(group)
        yield made
    finally:
        for group in made:
            _remove(group)


def enter(made: list[Path]) -> None:
    """Move this process into each of the groups."""
    for group in made:
        (group / "cgroup.procs").write_text(str(os.getpid()), "ascii")


def mount_as_seen() -> None:
    """Mount the hierarchies again in a new namespace, where the run's groups are the roots."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    for _, target, kind, options, *_ in mounts:
        if kind.startswith("cgroup"):
            run("umount", target)
        if kind == "cgroup2":
            run("mount", "-t", kind, "cgroup", target)
        elif kind == "cgroup":
            own = [option for option in options.split(",") if option not in _COMMON_OPTIONS]
            # A hierarchy without controllers has a name.
            own = ["none", *own] if own[0].startswith("name=") else own
            run("mount", "-t", kind, "-o", ",".join(own), "cgroup", target)
    if _is_version_2():
        _make_room()


def _is_version_2() -> bool:
    return (CGROUPS / "cgroup.controllers").exists()


def _parents() -> list[Path]:
    """Return the groups of this process, or the root if there is only one hierarchy.

    In version 2, a group that contains processes cannot have groups with limits below it.
    """
    if _is_version_2():
        return [CGROUPS]
    found = []
    for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        names = controllers.removeprefix("name=") or "unified"
        if (hierarchy := CGROUPS / names).is_dir():
            found.append(hierarchy / path.lstrip("/"))
    return found


def _sweep(parent: Path) -> None:
    for group in parent.glob(f"{CGROUP_PREFIX}*"):
        if not is_owned(group.name):
            _remove(group)


def _let_in(group: Path) -> None:
    # A new group of this controller has no processors and no memory, and accepts no process.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists() and not _is_version_2():
            (group / name).write_text((group.parent / name).read_text("ascii"), "ascii")


def _make_room() -> None:
    """Move all processes out of the root and let its groups have limits, as version 2 requires."""
    leaf = CGROUPS / "run"
    leaf.mkdir()
    for process in (CGROUPS / "cgroup.procs").read_text("ascii").split():
        (leaf / "cgroup.procs").write_text(process, "ascii")
    controllers = (CGROUPS / "cgroup.controllers").read_text("ascii").split()
    enabled = " ".join(f"+{controller}" for controller in controllers)
    (CGROUPS / "cgroup.subtree_control").write_text(enabled, "ascii")


def _remove(root: Path) -> None:
    deadline = time.monotonic() + _REMOVAL_SECONDS
    for path, _, _ in os.walk(root, topdown=False):
        while True:
            try:
                Path(path).rmdir()
            except FileNotFoundError:
                break
            except OSError:  # its processes are still ending
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                break
