"""The programs of a Kubernetes control plane for tests, built from pinned Go modules.

`tests/cluster/go.mod` says which, and modules beside it which container runtime, which checker of
metrics, which writer of the chart's README and which types of the Prometheus Operator. Each program
is built once, into the user's cache folder:

    python -m tests.support.control_plane build

That leaves out what only a node needs, which `make e2e` builds when it runs.

Where `KUBEBUILDER_ASSETS` names a folder of ready-made programs, those are used instead, and only
what the folder lacks is built.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_CLUSTER = Path(__file__).resolve().parents[1] / "cluster"
_NODE = Path(__file__).resolve().parents[1] / "node"
_PROMTOOL = Path(__file__).resolve().parents[1] / "promtool"
_HELMDOCS = Path(__file__).resolve().parents[1] / "helmdocs"
_MONITORS = Path(__file__).resolve().parents[1] / "monitors"

_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_CNI = "github.com/containernetworking/plugins/plugins"

# Each program's main package, and the directory of the module that pins it.
PACKAGES = {
    "etcd": ("go.etcd.io/etcd/server/v3", _CLUSTER),
    "kube-apiserver": ("k8s.io/kubernetes/cmd/kube-apiserver", _CLUSTER),
    "kubectl": ("k8s.io/kubernetes/cmd/kubectl", _CLUSTER),
    "kube-controller-manager": ("k8s.io/kubernetes/cmd/kube-controller-manager", _CLUSTER),
    "helm": ("helm.sh/helm/v4/cmd/helm", _CLUSTER),
    "promtool": ("github.com/prometheus/prometheus/cmd/promtool", _PROMTOOL),
    "helm-docs": ("github.com/norwoodj/helm-docs/cmd/helm-docs", _HELMDOCS),
    "monitors": (".", _MONITORS),
}
# What runs pods, named as the container runtime looks them up.
NODE_PACKAGES = {
    "kube-scheduler": ("k8s.io/kubernetes/cmd/kube-scheduler", _CLUSTER),
    "kubelet": ("k8s.io/kubernetes/cmd/kubelet", _CLUSTER),
    "containerd": (f"{_CONTAINERD}/containerd", _NODE),
    "containerd-shim-runc-v2": (f"{_CONTAINERD}/containerd-shim-runc-v2", _NODE),
    "ctr": (f"{_CONTAINERD}/ctr", _NODE),
    "bridge": (f"{_CNI}/main/bridge", _NODE),
    "host-local": (f"{_CNI}/ipam/host-local", _NODE),
    "loopback": (f"{_CNI}/main/loopback", _NODE),
    "pause": (".", _NODE),
}
_ALL_PACKAGES = PACKAGES | NODE_PACKAGES

_PROGRESS_SECONDS = 15.0


class BuildError(Exception):
    """A program of the control plane could not be built."""


def cache_directory(module: Path) -> Path:
    """Return the folder of a module's programs, one for each content of its files."""
    pinned = hashlib.sha256()
    for path in (module / "go.mod", module / "go.sum", *sorted(module.glob("*.go"))):
        pinned.update(path.read_bytes())
    return cache_base() / "control-plane" / pinned.hexdigest()[:16]


def cache_base() -> Path:
    """Return our folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pinecone-token-operator"


def binaries(*names: str) -> dict[str, Path]:
    """Return the path of each named program, or of all `PACKAGES`; build those not there yet."""
    return {name: _ready_made(name) or _built(name) for name in names or PACKAGES}


def _ready_made(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        return None
    path = Path(assets).resolve() / name
    return path if path.is_file() else None


def _built(name: str) -> Path:
    _, module = _ALL_PACKAGES[name]
    target = cache_directory(module) / name
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.parent / ".lock", name):
        if not target.is_file():  # else another process built it meanwhile
            _build(name, target)
    return target


@contextlib.contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another build before {name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(name: str, target: Path) -> None:
    package, module = _ALL_PACKAGES[name]
    flags = "-s -w"
    # Kubernetes' programs tell their version as it was linked in; others have none of it.
    if version := re.search(r"k8s\.io/kubernetes (v\S+)", (module / "go.mod").read_text("utf-8")):
        flags += f" -X k8s.io/component-base/version.gitVersion={version[1]}"
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as scratch:
        output = Path(scratch) / name
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly"]
        # The container runtime's btrfs snapshotter needs a C compiler and headers.
        command += ["-tags", "no_btrfs", "-ldflags", flags, "-o", str(output), package]
        with (Path(scratch) / "log").open("w+", encoding="utf-8") as log:
            try:
                process = subprocess.Popen(
                    command, cwd=module, env=environment, stdout=log, stderr=log
                )
            except FileNotFoundError as error:
                raise BuildError(f"Building {name} needs Go, which is not on the PATH.") from error
            _wait(name, process)
            if process.returncode != 0:
                log.seek(0)
                raise BuildError(f"Building {name} failed:\n{log.read()[-4000:]}")
        output.replace(target)


def _wait(name: str, process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PROGRESS_SECONDS)
                break
            _say(f"building {name} ... {time.monotonic() - started:.0f} s")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    _say(f"built {name} in {time.monotonic() - started:.0f} s")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Build the named programs, or all, and print their paths as JSON."""
    parser = argparse.ArgumentParser(description="Builds the control plane that tests run.")
    parser.add_argument("action", choices=["build"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_ALL_PACKAGES))
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(_ALL_PACKAGES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    try:
        paths = binaries(*arguments.names)
    except BuildError as error:
        _say(str(error))
        return 1
    print(json.dumps({name: str(path) for name, path in paths.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
