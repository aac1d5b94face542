"""What a run could leave behind on the machine, to be compared before and after."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CGROUP_PREFIX = "pinecone-node-"  # of a run's groups; the process id follows

# Kernel settings that a kubelet sets unless they have these values; they affect the whole machine.
TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# Where a container runtime and a kubelet put files by default.
_FOLDERS = ("/etc", "/etc/cni/net.d", "/opt", "/run", "/run/netns", "/var/lib", "/var/log")


@dataclass(frozen=True, slots=True)
class Footprint:
    """The traces on the machine, each as a line of text.

    Attributes:
        mounts: mounted file systems.
        cgroups: groups without processes, except those of another run that is in progress. Groups
            with processes come and go with whatever else runs here.
        interfaces: network interfaces and their addresses.
        rules: packet filter rules.
        tunables: kernel settings that a kubelet would change.
        files: files in the folders that a container runtime uses.
        processes: processes that refer to the run's directory.
    """

    mounts: frozenset[str]
    cgroups: frozenset[str]
    interfaces: frozenset[str]
    rules: frozenset[str]
    tunables: frozenset[str]
    files: frozenset[str]
    processes: frozenset[str]

    def differences(self, before: "Footprint") -> list[str]:
        """Return what appeared and what disappeared, a line each."""
        found = []
        for field in fields(self):
            then, now = getattr(before, field.name), getattr(self, field.name)
            found += [f"{field.name}: + {line}" for line in sorted(now - then)]
            # Other things may disappear for reasons of their own.
            if field.name in ("interfaces", "rules", "tunables", "mounts"):
                found += [f"{field.name}: - {line}" for line in sorted(then - now)]
        return found


def take(directory: Path) -> Footprint:
    """Return the footprint as it is now.

    Args:
        directory: the run's; its processes are recognised by it.
    """
    return Footprint(
        mounts=frozenset(Path("/proc/self/mounts").read_text("utf-8").splitlines()),
        cgroups=frozenset(_empty_cgroups()),
        interfaces=frozenset(_output("ip", "-oneline", "address")),
        rules=frozenset([*_output("iptables-save"), *_output("nft", "list", "ruleset")]),
        tunables=frozenset(_tunables()),
        files=frozenset(_files()),
        processes=frozenset(_processes(str(directory))),
    )


def _empty_cgroups() -> list[str]:
    found = []
    for group in CGROUPS.rglob("cgroup.procs"):
        try:
            if not group.read_text("utf-8") and not _of_another_run(group):
                found.append(str(group.parent))
        except OSError:  # removed meanwhile, or for threads only
            continue
    return found


def _of_another_run(path: Path) -> bool:
    owners = [part for part in path.parts if part.startswith(CGROUP_PREFIX)]
    return bool(owners) and owner(owners[0]) != os.getpid() and is_owned(owners[0])


def owner(group: str) -> int:
    """Return the process id of the run that a group belongs to."""
    return int(group.removeprefix(CGROUP_PREFIX))


def is_owned(group: str) -> bool:
    """Return whether the run that a group belongs to is in progress."""
    return Path(f"/proc/{owner(group)}").exists()


def _output(*command: str) -> list[str]:
    if shutil.which(command[0]) is None:
        return []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # Counters and address lifetimes change by themselves, and comments contain the time.
    lines = (
        re.sub(r"\[\d+:\d+\]|(valid|preferred)_lft \S+", "", line)
        for line in done.stdout.splitlines()
    )
    return [line for line in lines if not line.startswith("#")]


def _tunables() -> list[str]:
    paths = [Path("/proc/sys") / name for name in TUNABLES]
    return [f"{path}={path.read_text('utf-8').strip()}" for path in paths if path.exists()]


def _files() -> list[str]:
    folders = [Path(folder) for folder in _FOLDERS]
    return [str(path) for folder in folders if folder.is_dir() for path in folder.iterdir()]


def _processes(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environ = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:  # exited meanwhile
            continue
        if mark in command or mark in environ:
            found.append(f"{process.name} {command}")
    return found
