"""The programs of a Kubernetes control plane for tests, built from pinned Go modules.

`tests/cluster/go.mod` says which. Each is built once, into the user's cache folder:

    python -m tests.support.control_plane build

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

MODULE = Path(__file__).resolve().parents[1] / "cluster"

PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "helm": "helm.sh/helm/v4/cmd/helm",
}

_PROGRESS_SECONDS = 15.0


class BuildError(Exception):
    """A program of the control plane could not be built."""


def cache_directory() -> Path:
    """Return the folder of the built programs, one for each content of go.mod and go.sum."""
    pinned = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        pinned.update((MODULE / name).read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "pinecone-token-operator" / "control-plane"
    return directory / pinned.hexdigest()[:16]


def binaries(*names: str) -> dict[str, Path]:
    """Return the path of each named program, or of all; build those that are not there yet."""
    return {name: _ready_made(name) or _built(name) for name in names or PACKAGES}


def _ready_made(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        return None
    path = Path(assets).resolve() / name
    return path if path.is_file() else None


def _built(name: str) -> Path:
    target = cache_directory() / name
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
    version = re.search(r"k8s\.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text("utf-8"))
    if version is None:
        raise BuildError("tests/cluster/go.mod does not require k8s.io/kubernetes.")
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={version[1]}"
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as scratch:
        output = Path(scratch) / name
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly"]
        command += ["-ldflags", flags, "-o", str(output), PACKAGES[name]]
        with (Path(scratch) / "log").open("w+", encoding="utf-8") as log:
            try:
                process = subprocess.Popen(
                    command, cwd=MODULE, env=environment, stdout=log, stderr=log
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
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PACKAGES))
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(PACKAGES):
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
