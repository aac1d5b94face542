"""Checks whether this machine can run the end-to-end test."""

import os
import shutil
import sys

# Programs and the Debian packages that contain them.
_PROGRAMS = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "go": "golang",
    "ip": "iproute2",
    "runc": "runc",
    "unshare": "util-linux",
}


def missing() -> str:
    """Return what is missing as a phrase; empty if nothing is."""
    if sys.platform != "linux":
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root, to make namespaces and control groups"
    absent = [package for name, package in _PROGRAMS.items() if shutil.which(name) is None]
    if absent:
        return f"programs are missing; on Debian: apt-get install {' '.join(absent)}"
    return ""
