"""Renders the chart's README with helm-docs from README.md.gotmpl and the comments in values.yaml.

python -m tests.support.chart_readme
"""

import subprocess

from tests.support.chart import CHART
from tests.support.control_plane import binaries

README = CHART / "README.md"


def rendered() -> str:
    """Return the text that the README should have."""
    command = [str(binaries("helm-docs")["helm-docs"]), "--chart-search-root", str(CHART)]
    command += ["--sort-values-order", "file", "--dry-run"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip() + "\n"


if __name__ == "__main__":
    README.write_text(rendered(), "utf-8")
