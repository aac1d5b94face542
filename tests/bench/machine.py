"""Describes the machine that the figures were measured on."""

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from tests.support.control_plane import binaries

_INTERPRETER = """
import importlib.metadata, json, platform, sys
versions = {name: importlib.metadata.version(name) for name in sys.argv[1:]}
print(json.dumps({"python": platform.python_version(), "packages": versions}))
"""
_PACKAGES = ("aiohttp", "httpx", "kopf", "kubernetes", "pydantic")


def describe(python: Path) -> dict[str, Any]:
    """Return the machine and the versions of everything that matters to an operator."""
    return {
        "processor": _first("/proc/cpuinfo", "model name"),
        "processors": len(os.sched_getaffinity(0)),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        **_describe_interpreter(python),
        "control plane": binaries("kube-apiserver")["kube-apiserver"].parent.name,
        "kubernetes": _version("kube-apiserver"),
        "etcd": _version("etcd"),
    }


def _describe_interpreter(python: Path) -> dict[str, Any]:
    done = subprocess.run([python, "-c", _INTERPRETER, *_PACKAGES], check=True, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def load() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def _first(path: str, name: str) -> str:
    for line in Path(path).read_text("utf-8").splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"


def _version(name: str) -> str:
    done = subprocess.run(
        [binaries(name)[name], "--version"], check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()[0].split()[-1]
