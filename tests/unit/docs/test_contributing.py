"""CONTRIBUTING.md maps every package, in at most ten rows, and names files that exist."""

import re

from tests.support.documents import section
from tests.support.repository import ROOT

PAGE = ROOT / "CONTRIBUTING.md"
PACKAGE = ROOT / "operator" / "pinecone_token_operator"
MOST_ROWS = 10


def test_contributing_maps_every_package_in_at_most_ten_rows() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section(PAGE, "Architecture"), re.MULTILINE)
    mapped = [name.strip("`") for row in rows for name in row.split(", ")]

    assert sorted(mapped) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    assert len(rows) <= MOST_ROWS


def test_contributing_names_files_that_exist() -> None:
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", PAGE.read_text("utf-8"))
    # The chart's own paths are short.
    chart = ROOT / "charts" / "pinecone-token-operator"
    existing = {path for path in named if (ROOT / path).exists() or (chart / path).exists()}

    assert set(named) - existing == set(), "correct these paths in CONTRIBUTING.md"
