"""Whether this machine can run it, and if not, why."""

import os
import shutil
import sys

# Debian's packages that have them, where the name is another.
_PROGRAMS = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "go": "golang",
    "ip": "iproute2",
    "runc": "runc",
    "unshare": "util-linux",
}


def missing() -> str:
    """Return what is missing, for a person to read; empty if nothing is."""
    if sys.platform != "linux":
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root, to make namespaces and control groups"
    absent = [package for name, package in _PROGRAMS.items() if shutil.which(name) is None]
    if absent:
        return f"it needs what is not installed: {', '.join(absent)}"
    return ""
