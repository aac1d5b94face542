"""Describes the machine that the figures were measured on."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from tests.support.control_plane import binaries
from tests.support.repository import ROOT

_PACKAGES = ("aiohttp", "httpx", "kopf", "kubernetes", "pydantic")


def describe() -> dict[str, Any]:
    """Return the machine and the versions of everything that matters."""
    return {
        "processor": _first("/proc/cpuinfo", "model name"),
        "processors": len(os.sched_getaffinity(0)),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "control plane": binaries("kube-apiserver")["kube-apiserver"].parent.name,
        "kubernetes": _pinned("k8s.io/kubernetes"),
        "etcd": _pinned("go.etcd.io/etcd/server/v3"),
    }


def load() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def _first(path: str, name: str) -> str:
    for line in Path(path).read_text("utf-8").splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"


def _pinned(module: str) -> str:
    pins = ROOT / "tests" / "cluster" / "go.mod"
    for line in pins.read_text("utf-8").splitlines():
        words = line.replace("require ", "").split()
        if words[:1] == [module] and len(words) > 1:
            return words[1]
    return "unknown"
