"""Compares the rendered chart with reviewed snapshots, one per file in tests/chart/values.

If a change of the output is intended, update the snapshots and review the diff:

    make snapshots
"""

import os
import re

import pytest
import yaml

from tests.support.chart import CHART, ROWS, render, row
from tests.support.repository import ROOT

pytestmark = pytest.mark.programs("helm")

SNAPSHOTS = ROOT / "tests" / "chart" / "snapshots"
RENEW = os.environ.get("RENEW_SNAPSHOTS") == "1"


def snapshot(name: str) -> str:
    """Render the objects for a file of values, without versions and what other tests compare."""
    rendered = render(*row(name))
    version = re.escape(yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["version"])
    parts = [part.strip() for part in re.split(r"^---$", rendered, flags=re.MULTILINE)]
    kept = []
    for part in filter(None, parts):
        text = re.sub(
            rf"(chart: pinecone-token-operator-|version: |operator:){version}\b", r"\1X", part
        )
        if "kind: CustomResourceDefinition" in text:
            text = re.sub(r"^spec:\n(.|\n)*", "spec: elsewhere", text, flags=re.MULTILINE)
        if "kind: ConfigMap" in text:
            text = re.sub(r"^data:\n(.|\n)*", "data: elsewhere", text, flags=re.MULTILINE)
        kept.append(text)
    return "\n---\n".join(sorted(kept)) + "\n"


@pytest.mark.parametrize("name", ROWS)
def test_rendered_chart_matches_snapshot(name: str) -> None:
    path = SNAPSHOTS / f"{name}.yaml"
    found = snapshot(name)
    if RENEW:
        path.write_text(found, "utf-8")

    assert found == path.read_text("utf-8"), "if the change is intended, run: make snapshots"


def test_every_snapshot_has_values() -> None:
    assert sorted(path.stem for path in SNAPSHOTS.glob("*.yaml")) == ROWS
