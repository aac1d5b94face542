"""The chart directory is complete by itself, wherever it is copied to."""

import shutil
from pathlib import Path

import pytest

from tests.support.chart import CHART, helm, objects, parse
from tests.support.chart_crds import COPIES, SOURCE

pytestmark = pytest.mark.programs("helm")

VERSION = ("--kube-version", "1.37.2")


def copied_chart(destination: Path) -> Path:
    """Copy the chart as Git sources of Flux, Rancher and helm-git do, which drop symlinks."""
    chart = destination / "chart"
    shutil.copytree(CHART, chart, symlinks=True)
    for path in chart.rglob("*"):
        if path.is_symlink():
            path.unlink()
    return chart


def test_chart_copies_of_crds_are_identical() -> None:
    sources = {path.name: path.read_bytes() for path in SOURCE.iterdir()}
    copies = {path.name: path.read_bytes() for path in COPIES.iterdir()}

    assert copies == sources, "run: make docs"


def test_chart_renders_the_same_without_symlinks(tmp_path: Path) -> None:
    answer = helm("template", "release", str(copied_chart(tmp_path)), *VERSION)

    assert answer.returncode == 0, answer.stderr
    found = parse(answer.stdout)
    assert [each["kind"] for each in found] == [each["kind"] for each in objects()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no CustomResourceDefinition in files/crds", id="CRDs are missing"),
        pytest.param(
            "../crds/a.yaml", "files/crds/a.yaml is not a Custom", id="Git wrote a link as a file"
        ),
    ],
)
def test_incomplete_chart_is_rejected(tmp_path: Path, content: str | None, message: str) -> None:
    chart = copied_chart(tmp_path)
    for path in (chart / "files" / "crds").iterdir():
        path.unlink()
    if content:
        (chart / "files" / "crds" / "a.yaml").write_text(content, "utf-8")

    answer = helm("template", "release", str(chart), *VERSION)

    assert answer.returncode != 0
    assert message in answer.stderr
