"""Namespaces of its own for all that runs: what is in them is gone when their first process is.

Interfaces, addresses, packet filter rules, mounts and processes of a node are made in here, so that
nothing has to be taken back one by one, whatever ends the run. Control groups have no such end and
are removed by name; a kubelet's settings of the kernel are kept from it.
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

# Hidden behind empty ones of the sandbox's own: where a container runtime leaves things.
_HIDDEN = ("/run", "/var/lib", "/var/log")
_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup")


def run_inside(command: Sequence[str]) -> int:
    """Run a program in a sandbox, and return its exit code.

    Whatever ends this process, or this call, ends everything in the sandbox.
    """
    with cgroups.groups() as made:
        enter = [sys.executable, "-m", "tests.e2e.sandbox", *(str(group) for group in made), "--"]
        whole = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, *enter, *command]
        # A Ctrl-C is for this process, which ends the other.
        process = subprocess.Popen(whole, start_new_session=True)
        try:
            return process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def furnish(directory: Path, addresses: Sequence[str]) -> None:
    """Prepare the sandbox from its inside.

    Args:
        directory: for files of the sandbox.
        addresses: that its programs and its pods shall reach.
    """
    cgroups.mount_as_seen()
    for hidden in _HIDDEN:
        run("mount", "-t", "tmpfs", "sandbox", hidden)
    run("ip", "link", "set", "lo", "up")
    for address in addresses:
        run("ip", "address", "add", f"{address}/32", "dev", "lo")
    # A kubelet that finds them as it wants leaves them alone; these are files, the kernel's stay.
    for name, value in TUNABLES.items():
        stand_in = directory / "tunables" / name
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text(f"{value}\n", "ascii")
        if (Path("/proc/sys") / name).exists():
            run("mount", "--bind", stand_in, Path("/proc/sys") / name)


def _enter() -> None:
    """Become the program, in the sandbox: the groups first, which are the roots from then on."""
    end = sys.argv.index("--")
    cgroups.enter([Path(group) for group in sys.argv[1:end]])
    unshare = shutil.which("unshare")
    assert unshare is not None
    flags = (*_NAMESPACES, "--fork", "--kill-child", "--mount-proc")
    os.execv(unshare, ["unshare", *flags, *sys.argv[end + 1 :]])


if __name__ == "__main__":
    _enter()
