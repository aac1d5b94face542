"""Files that change together: what is written, kept, removed and refused."""

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pinecone_token_operator.targets.files import AtomicFiles, FilesRefused

ONE = {"access_token": b"one", "expires_at": b"noon", "..state": b"{}"}
TWO = {"access_token": b"two", "authorization": b"Bearer two", "..state": b"{}"}
GRACE = timedelta(seconds=10)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "token"


def make(directory: Path, clock: Clock, mode: int = 0o640) -> AtomicFiles:
    return AtomicFiles(directory, mode, lambda: datetime(2026, 11, 27, tzinfo=UTC), clock, GRACE)


@pytest.fixture
def files(directory: Path, clock: Clock) -> Iterator[AtomicFiles]:
    made = make(directory, clock)
    made.open()
    yield made
    made.close()


def listed(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def versions(directory: Path) -> list[str]:
    return [name for name in listed(directory) if name.startswith("..2")]


def test_files_are_links_to_the_current_version(files: AtomicFiles, directory: Path) -> None:
    files.write(ONE)

    (version,) = versions(directory)
    assert listed(directory) == [version, "..data", "access_token", "expires_at"]
    assert (directory / "..data").readlink() == Path(version)
    assert (directory / "access_token").readlink() == Path("..data/access_token")
    assert (directory / "access_token").read_bytes() == b"one"
    assert version.startswith("..2026_11_27_00_00_00.")
    assert files.read() == ONE


def test_write_replaces_all_files_and_removes_old_links(
    files: AtomicFiles, directory: Path
) -> None:
    files.write(ONE)
    files.write(TWO)

    links = [name for name in listed(directory) if not name.startswith("..")]
    assert links == ["access_token", "authorization"]
    assert files.read() == TWO
    assert files.holds(TWO)
    assert not files.holds(ONE)


def test_replaced_version_stays_for_its_grace(
    files: AtomicFiles, directory: Path, clock: Clock
) -> None:
    files.write(ONE)
    (old,) = versions(directory)
    files.write(TWO)
    clock.seconds += GRACE.total_seconds() - 1
    files.sweep()
    assert (directory / old / "access_token").read_bytes() == b"one"

    clock.seconds += 1
    files.sweep()
    assert old not in versions(directory)
    assert files.holds(TWO)


def test_sweep_removes_what_a_killed_process_left_behind(directory: Path, clock: Clock) -> None:
    directory.mkdir()
    left = directory / "..2026_11_26_23_59_59.0123456789ab"
    left.mkdir()
    (left / "access_token").write_bytes(b"hal")
    (directory / "..data_tmp").symlink_to(left.name)
    kept = directory / "..not-ours"
    kept.mkdir()
    files = make(directory, clock)
    files.open()
    files.write(ONE)
    files.sweep()
    clock.seconds += GRACE.total_seconds()
    files.sweep()

    assert not left.exists()
    assert kept.exists()
    assert len(versions(directory)) == 1
    assert not os.path.lexists(directory / "..data_tmp")
    files.close()


def test_other_files_are_left_alone(files: AtomicFiles, directory: Path) -> None:
    (directory / "notes").write_text("mine")
    (directory / "link").symlink_to("notes")
    files.write(ONE)
    files.write(TWO)

    assert (directory / "notes").read_text() == "mine"
    assert (directory / "link").readlink() == Path("notes")


def test_write_refuses_to_replace_a_file_that_is_not_ours(
    files: AtomicFiles, directory: Path
) -> None:
    (directory / "access_token").write_text("mine")

    with pytest.raises(FilesRefused, match="access_token exists in it"):
        files.write(ONE)
    assert (directory / "access_token").read_text() == "mine"
    assert listed(directory) == ["access_token"]


def test_open_refuses_a_volume_of_the_kubelet(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "..2026_11_27_01_30_00.1234567890").mkdir()
    (tmp_path / "..data").symlink_to("..2026_11_27_01_30_00.1234567890")

    with pytest.raises(FilesRefused, match="was not written by this program"):
        make(tmp_path, clock).open()


def test_open_refuses_a_directory_that_another_process_uses(
    files: AtomicFiles, directory: Path, clock: Clock
) -> None:
    with pytest.raises(FilesRefused, match="another process"):
        make(directory, clock).open()

    files.close()
    second = make(directory, clock)
    second.open()
    second.close()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_mode_does_not_depend_on_the_umask(directory: Path, clock: Clock, umask: int) -> None:
    before = os.umask(umask)
    try:
        files = make(directory, clock, mode=0o644)
        files.open()
        files.write(ONE)
        files.close()
    finally:
        os.umask(before)

    assert stat.S_IMODE((directory / "access_token").stat().st_mode) == 0o644
    assert stat.S_IMODE((directory / "..data/").stat().st_mode) == 0o755


def test_removed_directory_is_created_again(files: AtomicFiles, directory: Path) -> None:
    files.write(ONE)
    moved = directory.rename(directory.with_name("moved"))
    assert not files.holds(ONE)

    files.write(ONE)
    assert files.holds(ONE)
    assert (moved / "access_token").read_bytes() == b"one"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda d: (d / "access_token").unlink(), id="link removed"),
        pytest.param(lambda d: (d / "..data").unlink(), id="data link removed"),
        pytest.param(lambda d: (d / "..data" / "expires_at").unlink(), id="file removed"),
        pytest.param(lambda d: (d / "..data" / "expires_at").write_bytes(b""), id="truncated"),
    ],
)
def test_damage_is_noticed_and_repaired_by_a_write(
    files: AtomicFiles, directory: Path, damage: object
) -> None:
    files.write(ONE)
    assert callable(damage)
    damage(directory)

    assert not files.holds(ONE)
    files.write(ONE)
    assert files.holds(ONE)
