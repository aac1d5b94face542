"""Linux namespaces for a run: everything in them disappears with their first process.

A node's interfaces, addresses, packet filter rules, mounts and processes are created in here, so
nothing has to be undone one by one, whatever ends the run. Control groups do not disappear and are
removed by name. A kubelet in here cannot change kernel settings.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.e2e import cgroups
from tests.e2e.commands import run
from tests.e2e.footprint import TUNABLES
from tests.support.cluster import DIE_WITH_PARENT

# Where a container runtime leaves files; the sandbox mounts empty file systems over them.
_HIDDEN = ("/run", "/var/lib", "/var/log")
_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup")


def run_inside(command: Sequence[str]) -> int:
    """Run a program in a sandbox and return its exit code.

    Whatever ends this process or this call also ends everything in the sandbox.
    """
    with cgroups.groups() as made:
        enter = [sys.executable, "-m", "tests.e2e.sandbox", *(str(group) for group in made), "--"]
        whole = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, *enter, *command]
        # Ctrl-C must only reach this process, which ends the other one.
        process = subprocess.Popen(whole, start_new_session=True)
        try:
            return process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def prepare(directory: Path, addresses: Sequence[str]) -> None:
    """Prepare the sandbox from the inside.

    Args:
        directory: for files of the sandbox.
        addresses: the addresses that its programs and its pods need to reach.
    """
    # First of all: mount itself keeps files in /run.
    for hidden in _HIDDEN:
        run("mount", "-t", "tmpfs", "sandbox", hidden)
    cgroups.mount_as_seen()
    run("ip", "link", "set", "lo", "up")
    for address in addresses:
        run("ip", "address", "add", f"{address}/32", "dev", "lo")
    # Files with the values that a kubelet wants, mounted over the kernel's, which stay unchanged.
    for name, value in TUNABLES.items():
        stand_in = directory / "tunables" / name
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text(f"{value}\n", "ascii")
        if (Path("/proc/sys") / name).exists():
            run("mount", "--bind", stand_in, Path("/proc/sys") / name)


def _enter() -> None:
    """Become the program in the sandbox; its groups are entered first, to become the roots."""
    end = sys.argv.index("--")
    cgroups.enter([Path(group) for group in sys.argv[1:end]])
    unshare = shutil.which("unshare")
    assert unshare is not None
    flags = (*_NAMESPACES, "--fork", "--kill-child", "--mount-proc")
    os.execv(unshare, ["unshare", *flags, *sys.argv[end + 1 :]])


if __name__ == "__main__":
    _enter()
