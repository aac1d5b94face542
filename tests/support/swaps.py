"""Writes, kills and reads swaps of files, as processes of their own.

    swaps.py write DIRECTORY COUNT            swap files so often, then exit
    swaps.py kill DIRECTORY ROUNDS SEED       kill writers at random moments, one after the other
    swaps.py kill-at-each-step DIRECTORY      kill a writer before each of its system calls in turn
    swaps.py read DIRECTORY                   read until SIGTERM

What is read must always be whole, of one version, and never older than what was read before. Each
program prints one line of JSON; an unexpected reading ends it with a traceback.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from pinecone_token_operator.targets.files import AtomicFiles

NAMES = ("access_token", "expires_at", "authorization", "..state")
GRACE = timedelta(seconds=2)


def content(number: int, name: str) -> bytes:
    """Return the file's content in a version; it tells both, and whether it is whole."""
    digest = hashlib.sha256(f"{number} {name}".encode()).hexdigest()
    return f"{number} {digest * 40} end".encode()


def version(number: int) -> dict[str, bytes]:
    return {name: content(number, name) for name in NAMES}


def number_of(text: bytes, name: str) -> int:
    """Return the version that a file's content is of.

    Raises:
        AssertionError: it is not whole, or another file's.
    """
    number = int(text.partition(b" ")[0])
    assert text == content(number, name), f"{name} is damaged"
    return number


def make_files(directory: Path, grace: timedelta = GRACE) -> AtomicFiles:
    return AtomicFiles(directory, 0o640, lambda: datetime.now(UTC), time.monotonic, grace)


def read_back(files: AtomicFiles) -> int:
    """Return the version in the directory; 0 if there is none."""
    found = files.read()
    if found is None:
        return 0
    assert found.keys() == set(NAMES)
    (number,) = {number_of(text, name) for name, text in found.items()}
    return number


def write(directory: Path, count: int) -> None:
    files = make_files(directory)
    files.open()
    number = read_back(files)
    for _ in range(count):
        number += 1
        files.write(version(number))
        if number % 20 == 0:  # it lists the directory, which has many versions
            files.sweep()
    files.close()


def kill(directory: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(rounds):
        before = (directory / "..data").readlink()
        child = _fork(lambda: write(directory, sys.maxsize))
        while (directory / "..data").readlink() == before:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    files = make_files(directory)
    files.open()
    print(json.dumps({"killed": rounds, "version": read_back(files)}))


def kill_at_each_step(directory: Path) -> None:
    write(directory, 1)
    outcomes = {"old": 0, "new": 0}
    for step in range(1, 1000):
        before = _version_now(directory)
        child = _fork(partial(_write_until, directory, step))
        _, status = os.waitpid(child, 0)
        after = _version_now(directory)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            print(json.dumps({"steps": step - 1, **outcomes}))
            return
        assert after in (before, before + 1)
        outcomes["new" if after > before else "old"] += 1
    raise AssertionError("it does not end")


def _version_now(directory: Path) -> int:
    """Return the version, as a reader who follows the links finds it."""
    visible = [name for name in NAMES if not name.startswith("..")]
    (number,) = {number_of((directory / name).read_bytes(), name) for name in visible}
    return number


def _write_until(directory: Path, step: int) -> None:
    """Write one version, and be killed before the given system call on files."""
    left = step

    def count(event: str, _: object) -> None:
        nonlocal left
        if event == "open" or event.startswith(("os.", "shutil.")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    # The new keys' links are made, and the old ones' removed, in each of these writes.
    files = make_files(directory, timedelta())
    sys.addaudithook(count)
    files.open()
    files.write(version(read_back(files) + 1))
    files.sweep()
    left = -1  # what follows does not count


def _fork(run: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException:  # noqa: BLE001 - the child must not go on as its parent
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return child


class Reader:
    """Reads as applications do: file by file, and all files of one version."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.latest = 0
        self.changes = 0
        self.reads = 0

    def read_each(self) -> None:
        """Open each file by its own path."""
        for name in NAMES:
            if not name.startswith(".."):
                self._note(number_of((self._directory / name).read_bytes(), name))

    def read_together(self) -> None:
        """Follow `..data` once, and read everything there."""
        folder = os.open(self._directory / "..data", os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = {number_of(_read_at(folder, name), name) for name in NAMES}
        finally:
            os.close(folder)
        assert len(found) == 1, f"a mix of the versions {found}"
        self._note(found.pop())

    def _note(self, number: int) -> None:
        assert number >= self.latest, f"version {number} after {self.latest}"
        self.changes += number > self.latest
        self.latest = number
        self.reads += 1


def _read_at(folder: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read()


def read(directory: Path) -> None:
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    reader = Reader(directory)
    print("reading", flush=True)
    while not stopped:
        reader.read_each()
        reader.read_together()
    found = {"reads": reader.reads, "changes": reader.changes, "version": reader.latest}
    print(json.dumps(found))


if __name__ == "__main__":
    program, folder, *rest = sys.argv[1:]
    programs: dict[str, Callable[..., None]] = {
        "write": write,
        "kill": kill,
        "kill-at-each-step": kill_at_each_step,
        "read": read,
    }
    programs[program](Path(folder), *map(int, rest))
