"""Files that change together, as the kubelet writes the volume of a Secret.

    access_token          -> ..data/access_token
    expires_at            -> ..data/expires_at
    ..data                -> ..2026_11_27_01_30_00.5f0a91c2d37b
    ..2026_11_27_01_30_00.5f0a91c2d37b/access_token, expires_at, ..state

A new version is a new directory; renaming the link `..data_tmp` to `..data` makes it current. So a
reader sees the old version or the new one, and a process that is killed at any point leaves one of
the two. What differs from the kubelet's: a version that was replaced stays for a moment, because
otherwise a reader that has just followed `..data` could find nothing there.

https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

DATA: Final = "..data"
GRACE: Final = timedelta(seconds=10)
"""How long a replaced version stays, for readers that have followed `..data` already."""

_NEW_DATA: Final = "..data_tmp"
_VERSION: Final = re.compile(r"\.\.\d{4}(_\d\d){5}\.[0-9a-f]{12}")
_MAX_FILE: Final = 1 << 20


class FilesRefused(Exception):  # noqa: N818 - reads as the fact it states
    """The directory holds something that must not be replaced; the message says what."""


class AtomicFiles:
    """The files of one directory, all replaced at once.

    Names that start with two dots get no link and are found below `..data` only.

    Args:
        directory: where the files are; created if only its last part is missing.
        mode: of the files.
        now: names new versions.
        monotonic: seconds, for the grace of replaced versions.
        grace: how long a replaced version stays.
    """

    def __init__(
        self,
        directory: Path,
        mode: int,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        grace: timedelta = GRACE,
    ) -> None:
        self._directory = directory
        self._mode = mode
        self._now = now
        self._monotonic = monotonic
        self._grace = grace.total_seconds()
        self._replaced: dict[str, float] = {}
        self._lock = -1

    def open(self) -> None:
        """Create the directory if it does not exist, and lock it until `close`.

        Raises:
            FilesRefused: another process uses it, or what is in it was not written by this class.
            OSError: it cannot be created, read or written.
        """
        self._lock_directory()
        try:
            self._refuse_others()
            if not os.access(self._directory, os.W_OK | os.X_OK):
                # Finds out which error it is: permissions, or a read-only file system.
                (self._directory / self._make_version()).rmdir()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unlock the directory; the files stay."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def read(self) -> dict[str, bytes] | None:
        """Return all files of the current version; None if there is none.

        Raises:
            OSError: it cannot be read.
        """
        version = self._current()
        if version is None:
            return None
        found = {}
        try:
            for entry in os.scandir(self._directory / version):
                if entry.is_file(follow_symlinks=False):
                    with open(entry.path, "rb") as file:  # noqa: PTH123 - of a scandir entry
                        found[entry.name] = file.read(_MAX_FILE)
        except FileNotFoundError:
            return None
        return found

    def holds(self, files: Mapping[str, bytes]) -> bool:
        """Return whether exactly these files are there, with their links, and can be read."""
        try:
            return self.read() == files and all(
                _link_target(self._directory / name) == f"{DATA}/{name}" for name in _visible(files)
            )
        except OSError:
            return False

    def write(self, files: Mapping[str, bytes]) -> None:
        """Replace all files.

        Raises:
            FilesRefused: a file of this name exists that is not ours.
            OSError: the files could not be written, and the previous ones are still there.
        """
        self._lock_directory()  # it may have been removed
        self._refuse_foreign(files)
        before = self._current()
        version = self._make_version()
        try:
            self._fill(version, files)
            self._make_current(version)
        except BaseException:
            if self._current() != version:
                self._remove_version(version)
            raise
        if before is not None:
            self._replaced[before] = self._monotonic()
        self._link(files)
        _sync(self._directory)

    def sweep(self) -> None:
        """Remove versions whose grace has passed, also those that a killed process left behind."""
        now = self._monotonic()
        with contextlib.suppress(OSError):
            current = self._current()
            names = (entry.name for entry in os.scandir(self._directory))
            versions = {name for name in names if _VERSION.fullmatch(name)}
            for name in versions - {current}:
                if now - self._replaced.setdefault(name, now) >= self._grace:
                    self._remove_version(name)
            self._replaced = {
                name: since for name, since in self._replaced.items() if name in versions
            }

    def _lock_directory(self) -> None:
        with contextlib.suppress(FileExistsError):
            self._directory.mkdir()
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if self._lock >= 0 and os.path.samestat(os.fstat(descriptor), os.fstat(self._lock)):
            os.close(descriptor)
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise FilesRefused("another process of this program writes to it") from None
        except OSError:
            pass  # a file system without locks
        self.close()
        self._lock = descriptor

    def _refuse_others(self) -> None:
        """Raise if `..data` is not ours: the kubelet's own volumes have one too."""
        data = self._directory / DATA
        # The kubelet's names end in at most ten digits.
        if os.path.lexists(data) and not _VERSION.fullmatch(_link_target(data)):
            raise FilesRefused(f"its {DATA} was not written by this program")

    def _refuse_foreign(self, files: Mapping[str, bytes]) -> None:
        for name in _visible(files):
            path = self._directory / name
            if os.path.lexists(path) and _link_target(path) != f"{DATA}/{name}":
                raise FilesRefused(f"{name} exists in it and was not written by this program")

    def _current(self) -> str | None:
        target = _link_target(self._directory / DATA)
        return target if _VERSION.fullmatch(target) else None

    def _make_version(self) -> str:
        stamp = self._now().strftime("%Y_%m_%d_%H_%M_%S")
        name = f"..{stamp}.{secrets.token_hex(6)}"
        path = self._directory / name
        path.mkdir()
        # As the kubelet's: whatever the umask is, and with the group that the volume passes on.
        path.chmod(0o755 | (path.stat().st_mode & stat.S_ISGID))
        return name

    def _fill(self, version: str, files: Mapping[str, bytes]) -> None:
        directory = self._directory / version
        for name, content in files.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(directory / name, flags, 0o600)
            with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
                os.fchmod(descriptor, self._mode)
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]
                # Or a power failure could leave the link with empty files below it.
                os.fsync(descriptor)
        _sync(directory)

    def _make_current(self, version: str) -> None:
        new = self._directory / _NEW_DATA
        new.unlink(missing_ok=True)  # of a process that was killed
        new.symlink_to(version)
        new.rename(self._directory / DATA)

    def _link(self, files: Mapping[str, bytes]) -> None:
        wanted = set(_visible(files))
        for entry in os.scandir(self._directory):
            path = Path(entry.path)
            # Skip versions without a system call: there may be many of them.
            if entry.is_symlink() and _link_target(path) == f"{DATA}/{entry.name}":
                if entry.name not in wanted:
                    path.unlink()
                wanted.discard(entry.name)
        for name in sorted(wanted):
            (self._directory / name).symlink_to(f"{DATA}/{name}")

    def _remove_version(self, name: str) -> None:
        self._replaced.pop(name, None)
        shutil.rmtree(self._directory / name, ignore_errors=True)


def _visible(files: Mapping[str, bytes]) -> list[str]:
    return [name for name in files if not name.startswith("..")]


def _link_target(path: Path) -> str:
    """Return where a link points; empty if it is not a link."""
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Some network file systems cannot.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
