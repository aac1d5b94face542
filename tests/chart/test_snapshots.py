"""What the chart renders to, row by row of values, against what was looked at and found right.

A change shows as a difference in tests/chart/snapshots. Look at it, and if it is meant, keep it:

    make snapshots
"""

import os
import re

import pytest
import yaml

from tests.support.chart import CHART, ROWS, render, row
from tests.support.repository import ROOT

SNAPSHOTS = ROOT / "tests" / "chart" / "snapshots"
RENEW = os.environ.get("RENEW_SNAPSHOTS") == "1"


def snapshot(name: str) -> str:
    """Return a row's objects as text, without what is compared elsewhere or moves by itself."""
    rendered = render(*row(name))
    version = re.escape(yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["version"])
    parts = [part.strip() for part in re.split(r"^---$", rendered, flags=re.MULTILINE)]
    kept = []
    for part in filter(None, parts):
        text = re.sub(
            rf"(chart: pinecone-token-operator-|version: |operator:){version}\b", r"\1X", part
        )
        if "kind: CustomResourceDefinition" in text:
            text = re.sub(r"^spec:\n(.|\n)*", "spec: the canonical one", text, flags=re.MULTILINE)
        if "kind: ConfigMap" in text:
            text = re.sub(r"^data:\n(.|\n)*", "data: the dashboard", text, flags=re.MULTILINE)
        kept.append(text)
    return "\n---\n".join(sorted(kept)) + "\n"


@pytest.mark.parametrize("name", ROWS)
def test_the_objects_are_as_they_were(name: str) -> None:
    path = SNAPSHOTS / f"{name}.yaml"
    found = snapshot(name)
    if RENEW:
        path.write_text(found, "utf-8")

    assert found == path.read_text("utf-8"), "if that is meant: make snapshots"


def test_there_is_no_snapshot_without_a_row() -> None:
    assert sorted(path.stem for path in SNAPSHOTS.glob("*.yaml")) == ROWS
