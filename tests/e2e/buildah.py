"""Runs buildah with a store of its own."""

from pathlib import Path

from tests.e2e.commands import run


class Buildah:
    """Runs buildah; it stores everything in one directory and leaves no mounts behind."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def __call__(self, *arguments: str | Path, timeout: float = 1800.0) -> str:
        scratch = self._store / "scratch"
        scratch.mkdir(exist_ok=True)
        options = ("--root", self._store / "root", "--runroot", self._store / "run")
        # This driver works on any file system.
        command = ("unshare", "--mount", "buildah", *options, "--storage-driver", "vfs", *arguments)
        return run(*command, timeout=timeout, environ={"TMPDIR": str(scratch)})
