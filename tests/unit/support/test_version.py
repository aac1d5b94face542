"""Operator, image and chart have the same version."""

import shutil
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.support.version import PLACES, found, move


def test_version_is_the_same_everywhere() -> None:
    versions = found()

    assert [place for place, seen in versions.items() if not seen] == []
    assert len(set().union(*versions.values())) == 1


def test_move_changes_every_place(tmp_path: Path) -> None:
    for name in {name for name, _ in PLACES}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    move("1.2.3-rc.1", tmp_path)

    assert set().union(*found(tmp_path).values()) == {"1.2.3-rc.1"}


@pytest.mark.parametrize("version", ["", "1.2", "v1.2.3", "1.2.3+build", "1.2.3 "])
def test_move_refuses_an_invalid_version(version: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        move(version, tmp_path)
