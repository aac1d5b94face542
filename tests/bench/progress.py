"""Lines that tell how far the benchmark is."""

import sys
import time

_STARTED = time.monotonic()


def say(text: str) -> None:
    """Tell it on stderr, so that stdout holds the figures alone."""
    seconds = int(time.monotonic() - _STARTED)
    print(f"{seconds // 60:3d}:{seconds % 60:02d}  {text}", file=sys.stderr, flush=True)
