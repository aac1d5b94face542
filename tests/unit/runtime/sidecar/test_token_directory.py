"""The output directory: resumed, written, repaired with patience, and warned about."""

import errno
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pinecone_token_operator.config.sidecar_settings import Output
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import SettingsInvalid, WriteFailed
from pinecone_token_operator.runtime.sidecar.token_directory import TokenDirectory
from pinecone_token_operator.targets.stored_token import StoredToken
from tests.support.builders import NOON, after

TOKEN = StoredToken("abc", "Bearer", NOON, after(30), after(20), "f" * 32)


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return 1000.0 + self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token"


def make(path: Path, time: Time, *, in_pod: bool = False, mode: int = 0o640) -> TokenDirectory:
    env = Env(time.now, time.monotonic, random.Random(1))
    return TokenDirectory(Output(path, mode, {}), env, in_pod=in_pod)


@pytest.fixture
def directory(path: Path, time: Time) -> Iterator[TokenDirectory]:
    made = make(path, time)
    assert made.open() is None
    yield made
    made.close()


def test_token_and_salt_are_found_again(directory: TokenDirectory, path: Path, time: Time) -> None:
    directory.put(TOKEN)
    assert directory.sync()
    assert not directory.sync()
    directory.close()

    later = make(path, time)
    assert later.open() == TOKEN
    assert later.salt == directory.salt
    later.put(TOKEN)
    assert not later.sync(), "it wrote what was there already"
    later.close()


def test_damaged_token_is_not_resumed(directory: TokenDirectory, path: Path, time: Time) -> None:
    directory.put(TOKEN)
    directory.sync()
    directory.close()
    (path / "access_token").write_text("abd")

    later = make(path, time)
    assert later.open() is None
    later.close()


def test_repairs_back_off_when_another_writer_interferes(
    directory: TokenDirectory, path: Path, time: Time
) -> None:
    directory.put(TOKEN)
    directory.sync()
    repairs = 0
    for _ in range(300):
        if (path / "access_token").exists():
            (path / "access_token").unlink()
        repairs += directory.sync()
        time.seconds += 1

    assert 5 <= repairs <= 14
    directory.put(replace(TOKEN, access_token="new"))
    assert directory.sync(), "a new token has to wait for a fight"


def test_failed_write_is_retried_with_backoff(
    directory: TokenDirectory, path: Path, time: Time
) -> None:
    path.rmdir()
    path.write_text("in the way")
    directory.put(TOKEN)
    with pytest.raises(WriteFailed, match=f"{os.strerror(errno.ENOTDIR)}; use a directory"):
        directory.sync()
    attempts = 0
    for _ in range(60):
        time.seconds += 1
        try:
            directory.sync()
        except WriteFailed:
            attempts += 1

    assert 4 <= attempts <= 12
    assert not directory.is_written
    path.unlink()
    time.seconds += 15
    assert directory.sync()
    assert (path / "access_token").read_text() == "abc"


def test_lost_files_are_known_until_they_are_restored(
    directory: TokenDirectory, path: Path, time: Time
) -> None:
    directory.put(TOKEN)
    directory.sync()
    path.rename(path.with_name("away"))
    path.write_text("in the way")
    with pytest.raises(WriteFailed):
        directory.sync()
    assert directory.is_lost

    path.unlink()
    time.seconds += 15
    directory.sync()
    assert not directory.is_lost


def test_file_of_others_is_named_and_kept(directory: TokenDirectory, path: Path) -> None:
    (path / "expires_at").write_text("mine")
    directory.put(TOKEN)
    with pytest.raises(WriteFailed, match="expires_at exists in it"):
        directory.sync()
    assert (path / "expires_at").read_text() == "mine"


def test_files_without_state_are_refused(path: Path, time: Time) -> None:
    version = path / "..2026_11_27_00_00_00.0123456789ab"
    version.mkdir(parents=True)
    (path / "..data").symlink_to(version.name)
    with pytest.raises(SettingsInvalid, match="was not written by this program"):
        make(path, time).open()


@pytest.mark.parametrize(
    ("in_pod", "mode", "group_bit", "warns"),
    [
        pytest.param(True, 0o640, 0, True, id="pod without fsGroup"),
        pytest.param(True, 0o640, 0o2000, False, id="pod with fsGroup"),
        pytest.param(True, 0o600, 0o2000, True, id="mode without the group"),
        pytest.param(True, 0o644, 0, False, id="readable for all"),
        pytest.param(False, 0o640, 0, False, id="one's own directory on a laptop"),
    ],
)
def test_files_that_others_cannot_read_are_warned_of(
    path: Path,
    time: Time,
    caplog: pytest.LogCaptureFixture,
    in_pod: bool,
    mode: int,
    group_bit: int,
    warns: bool,
) -> None:
    path.mkdir()
    path.chmod(0o777 | group_bit)
    directory = make(path, time, in_pod=in_pod, mode=mode)
    directory.open()
    directory.close()

    assert ("will be able to read the files" in caplog.text) == warns
    assert ("fsGroup" in caplog.text) == warns
