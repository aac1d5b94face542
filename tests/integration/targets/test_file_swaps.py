"""No reader ever sees a missing, half or mixed version, whatever happens to the writer."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pinecone_token_operator.targets.files import FilesRefused
from tests.support import swaps
from tests.support.repository import ROOT

SWAPS = 1000
KILLS = 60
READERS = 2

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be other users")


@pytest.fixture
def directory() -> Iterator[Path]:
    # In memory, where thousands of swaps take a second; others may enter it.
    memory = Path("/dev/shm")
    base = Path(tempfile.mkdtemp(prefix="swaps-", dir=memory if memory.is_dir() else None))
    base.chmod(0o755)
    yield base / "token"
    shutil.rmtree(base)


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "tests" / "support" / "swaps.py"), *arguments]


def run(*arguments: str, **options: object) -> str:
    environ = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"}
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=environ, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@contextmanager
def readers(directory: Path, found: list[dict[str, int]]) -> Iterator[None]:
    """Read while something happens; what each reader saw is appended."""
    started = [
        subprocess.Popen(
            command("read", str(directory)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(READERS)
    ]
    try:
        for process in started:
            assert process.stdout
            assert process.stdout.readline() == "reading\n", process.communicate()[1]
        yield
    finally:
        for process in started:
            process.terminate()
        outputs = [process.communicate() for process in started]
    for process, (output, errors) in zip(started, outputs, strict=True):
        assert process.returncode == 0, errors
        found.append(json.loads(output))


def test_readers_see_whole_versions_during_many_swaps(directory: Path) -> None:
    swaps.write(directory, 1)
    seen: list[dict[str, int]] = []
    with readers(directory, seen):
        run("write", str(directory), str(SWAPS))

    for one in seen:
        assert one["changes"] > SWAPS / 100, seen
        assert one["version"] <= SWAPS + 1
    print(f"{SWAPS} swaps, {READERS} readers: {seen}")


def test_readers_see_whole_versions_when_writers_are_killed(directory: Path) -> None:
    swaps.write(directory, 1)
    seen: list[dict[str, int]] = []
    with readers(directory, seen):
        outcome = json.loads(run("kill", str(directory), str(KILLS), "14"))

    assert outcome["version"] > KILLS
    assert all(one["changes"] > 5 for one in seen)
    print(f"{outcome}, {READERS} readers: {seen}")


def test_killed_writer_leaves_old_or_new_version(directory: Path) -> None:
    outcome = json.loads(run("kill-at-each-step", str(directory)))

    assert outcome["steps"] > 20
    assert outcome["old"] > 10
    assert outcome["new"] > 3
    print(outcome)


def test_full_disk_leaves_the_previous_version(directory: Path) -> None:
    files = swaps.make_files(directory)
    files.open()
    files.write(swaps.version(1))
    seen: list[dict[str, int]] = []
    with readers(directory, seen):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            for _ in range(50):
                with pytest.raises(OSError, match="File too large"):
                    files.write(swaps.version(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    assert files.holds(swaps.version(1))
    assert len(list(directory.glob("..2*"))) == 1, "partial versions are left"
    files.write(swaps.version(2))
    assert files.holds(swaps.version(2))
    files.close()


@root_only
def test_full_file_system_leaves_the_previous_version(directory: Path) -> None:
    script = f"""
set -e
mkdir -p {directory}
mount -t tmpfs -o size=48k tmpfs {directory}
exec {sys.executable} - <<'END'
import errno
from datetime import timedelta
from pathlib import Path
from tests.support import swaps
files = swaps.make_files(Path({str(directory)!r}), timedelta())
files.open()
files.write(swaps.version(1))
filler = Path({str(directory)!r}) / "filler"
try:
    filler.write_bytes(b"x" * 100_000)
except OSError:
    pass
for _ in range(20):
    try:
        files.write(swaps.version(2))
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
    else:
        raise AssertionError("the file system is not full")
    assert files.holds(swaps.version(1))
filler.unlink()
files.write(swaps.version(2))
assert files.holds(swaps.version(2))
END
"""
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def as_user(user: int, groups: Sequence[int], program: str, directory: Path) -> str:
    # After its imports, because the user may not be allowed to read the program's files.
    become = f"import os\nos.setgroups({list(groups)})\nos.setgid({user})\nos.setuid({user})"
    done = subprocess.run(
        [sys.executable, "-c", program.replace("# become", become), str(directory)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr.strip().rpartition("\n")[2]


WRITE = """
import sys
from pathlib import Path
from tests.support import swaps
# become
files = swaps.make_files(Path(sys.argv[1]))
files.open()
files.write(swaps.version(1))
"""
READ = """
import sys
from pathlib import Path
from tests.support import swaps
# become
reader = swaps.Reader(Path(sys.argv[1]))
reader.read_each()
reader.read_together()
print("whole")
"""


@root_only
def test_group_of_the_directory_can_read_as_with_fs_group(directory: Path) -> None:
    directory.mkdir()
    os.chown(directory, 0, 2000)
    directory.chmod(0o2777)

    assert as_user(65532, [2000], WRITE, directory) == ""
    assert as_user(1000, [2000], READ, directory) == "whole\n"
    assert "Permission denied" in as_user(1000, [], READ, directory)
    assert (directory / "access_token").stat().st_gid == 2000


@root_only
def test_directory_of_another_user_is_refused_and_left_alone(directory: Path) -> None:
    directory.mkdir(mode=0o755)

    assert "Permission denied" in as_user(65532, [], WRITE, directory)
    assert list(directory.iterdir()) == []


@root_only
def test_read_only_file_system_is_refused(directory: Path) -> None:
    script = f"""
set -e
mkdir -p {directory}
mount -t tmpfs -o ro tmpfs {directory}
exec {sys.executable} -c "$0" {directory}
"""
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script, WRITE],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Read-only file system" in done.stderr


def test_removed_directory_is_written_again_each_time(directory: Path) -> None:
    files = swaps.make_files(directory)
    files.open()
    for number in range(1, 100):
        files.write(swaps.version(number))
        assert swaps.read_back(files) == number
        shutil.rmtree(directory)
        assert not files.holds(swaps.version(number))
    files.close()


def test_second_writer_is_refused(directory: Path) -> None:
    files = swaps.make_files(directory)
    files.open()
    with pytest.raises(FilesRefused):
        swaps.make_files(directory).open()
    files.close()
