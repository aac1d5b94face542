"""The version of operator, image and chart, which is written down in several places.

pyproject.toml is authoritative, and a test compares the others with it. To change all of them:

    python -m tests.support.version 0.2.0
"""

import re
import sys
from pathlib import Path

from tests.support.repository import ROOT

# Where it is written: a file, and a pattern for what surrounds it.
PLACES = (
    ("pyproject.toml", r'^version = "(.+)"$'),
    ("charts/pinecone-token-operator/Chart.yaml", r"^version: (.+)$"),
    ("charts/pinecone-token-operator/Chart.yaml", r"^appVersion: (.+)$"),
    ("Dockerfile", r'image\.version="(.+?)"'),
    ("README.md", r"registry\.example/pinecone-token-operator:(\S+)"),
    ("docs/releasing.md", r"registry\.example/pinecone-token-operator:(\S+)"),
    ("docs/releasing.md", r"pinecone-token-operator-(\d\S*)\.tgz"),
    ("docs/releasing.md", r"pinecone_token_operator-(\d\S*)-py3"),
    ("docs/releasing.md", r"pinecone_token_operator-(\d\S*)\.tar"),
    ("docs/releasing.md", r"VERSION=(\S+)"),
    ("docs/installation.md", r"registry\.example/pinecone-token-operator:(\S+)"),
)
# https://semver.org, without build metadata, which is not allowed in an image tag.
_VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")


def found(root: Path = ROOT) -> dict[tuple[str, str], set[str]]:
    """Return the versions found in each place."""
    return {
        (name, around): set(re.findall(around, (root / name).read_text("utf-8"), re.MULTILINE))
        for name, around in PLACES
    }


def move(version: str, root: Path = ROOT) -> None:
    """Write a version to every place.

    Raises:
        ValueError: it is not a version.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not a version like 0.2.0 or 0.2.0-rc.1")
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
