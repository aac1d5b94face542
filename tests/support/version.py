"""The one version of operator, image and chart, wherever it stands.

pyproject.toml has the say, and a test holds the others to it. To move all of them:

    python -m tests.support.version 0.2.0
"""

import re
import sys
from pathlib import Path

from tests.support.repository import ROOT

# Where it stands: a file, and what is around it there.
PLACES = (
    ("pyproject.toml", r'^version = "(.+)"$'),
    ("charts/pinecone-token-operator/Chart.yaml", r"^version: (.+)$"),
    ("charts/pinecone-token-operator/Chart.yaml", r"^appVersion: (.+)$"),
    ("Dockerfile", r'image\.version="(.+?)"'),
    ("README.md", r"registry\.example/pinecone-token-operator:(\S+)"),
    ("docs/installation.md", r"registry\.example/pinecone-token-operator:(\S+)"),
)
# https://semver.org, without build metadata, which no tag of an image can hold.
_VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")


def found(root: Path = ROOT) -> dict[tuple[str, str], set[str]]:
    """Return the versions that stand in each place."""
    return {
        (name, around): set(re.findall(around, (root / name).read_text("utf-8"), re.MULTILINE))
        for name, around in PLACES
    }


def move(version: str, root: Path = ROOT) -> None:
    """Write a version into every place.

    Raises:
        ValueError: it is no version.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no version like 0.2.0 or 0.2.0-rc.1")
    for name, around in PLACES:
        text = (root / name).read_text("utf-8")
        (root / name).write_text(
            re.sub(
                around,
                lambda match: match[0].replace(match[1], version),
                text,
                flags=re.MULTILINE,
            ),
            "utf-8",
        )


if __name__ == "__main__":
    try:
        move("".join(sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"version: {error}")
