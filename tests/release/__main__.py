"""Builds a release: `make dist`.

    python -m tests.release [DIRECTORY]

It writes into `dist`, which is emptied before.
"""

import os
import shutil
import sys
from pathlib import Path

from tests.e2e.commands import CommandError
from tests.release import artifacts, image
from tests.support.repository import ROOT
from tests.support.version import PLACES, found


def main(arguments: list[str]) -> int:
    """Build everything, and return the exit code."""
    directory = Path(arguments[0]) if arguments else ROOT / "dist"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (version,) = found()[PLACES[0]]
    try:
        artifacts.build(directory)
        skipped = image.build(directory, artifacts.commit_time(os.environ), version)
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    artifacts.write_checksums(directory)
    for path in sorted(directory.iterdir()):
        print(f"{path.stat().st_size:>11,}  {path.name}")
    if skipped:
        print(f"No image archive: {skipped}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
