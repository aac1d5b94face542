"""Where programs are kept, and how processes that want the same ones take turns."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

_SCRATCH = ".scratch-"


def cache_base() -> Path:
    """Return our folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pinecone-token-operator"


def built_directory(module: Path) -> Path:
    """Return the folder of the programs of a Go module, one for each content of its files."""
    pinned = hashlib.sha256()
    for path in (module / "go.mod", module / "go.sum", *sorted(module.rglob("*.go"))):
        pinned.update(path.read_bytes())
    return cache_base() / "control-plane" / pinned.hexdigest()[:16]


def downloaded_directory(version: str, platform: str) -> Path:
    """Return the folder of the programs of an envtest archive."""
    return cache_base() / "control-plane" / f"envtest-{version}-{platform}"


@contextlib.contextmanager
def locked(directory: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold a directory's lock, which ends with the process, however that ends.

    Args:
        directory: the directory; it need not exist.
        wait: called once if another process holds the lock.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / f"{directory.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch(directory: Path) -> Iterator[Path]:
    """Make a temporary directory on the same file system; the caller holds the lock.

    What a process that was killed left there is removed first.
    """
    path = directory.parent / f"{_SCRATCH}{directory.name}"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
