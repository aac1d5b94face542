"""Prints the progress of the benchmark."""

import sys
import time

_STARTED = time.monotonic()


def say(text: str) -> None:
    """Print a line on stderr, so that stdout contains nothing but the figures."""
    seconds = int(time.monotonic() - _STARTED)
    print(f"{seconds // 60:3d}:{seconds % 60:02d}  {text}", file=sys.stderr, flush=True)
