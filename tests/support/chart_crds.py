"""Copies the CRDs into the chart.

    python -m tests.support.chart_crds

They are copies instead of symlinks: the Git sources of Flux, Rancher and helm-git drop symlinks.
"""

from typing import Final

from tests.support.chart import CHART
from tests.support.repository import ROOT

SOURCE: Final = ROOT / "crds"
COPIES: Final = CHART / "files" / "crds"


def update() -> None:
    """Make the chart's copies equal to the CRDs, and remove copies of CRDs that are gone."""
    COPIES.mkdir(parents=True, exist_ok=True)
    for path in COPIES.iterdir():
        if not (SOURCE / path.name).exists():
            path.unlink()
    for path in SOURCE.iterdir():
        (COPIES / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    update()
