"""The list of slow test files names files that exist."""

from tests.support.repository import ROOT
from tests.support.slow_files import SLOW_FILES


def test_slow_files_exist() -> None:
    assert [file for file in SLOW_FILES if not (ROOT / file).is_file()] == []
