"""Downloads or builds the programs that tests run."""

import argparse
import json
import signal
import sys

from tests.support.control_plane import BuildError, binaries
from tests.support.control_plane.pins import PROGRAMS, TEST_PROGRAMS


def main() -> int:
    """Provide the named programs, or all that tests need, and print their paths as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.control_plane", description=__doc__
    )
    parser.add_argument("action", choices=["build"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROGRAMS))
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(PROGRAMS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what it runs
    try:
        paths = binaries(*(arguments.names or [program.name for program in TEST_PROGRAMS]))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(json.dumps({name: str(path) for name, path in paths.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
