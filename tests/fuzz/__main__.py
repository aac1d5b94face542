"""`make fuzz`: feed the parsers with anything for FUZZ_SECONDS, and keep what breaks one.

A failing input is made as small as possible and saved into the corpus, which `make test` replays:
commit it together with its fix. In between the operator is led through lives that no test has seen;
of one that fails the steps are printed, to become a test. Exit status 1 tells that there was one.
"""

import hashlib
import logging
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.inputs import inputs
from tests.fuzz.parsers import CORPUS, PARSERS, Parser
from tests.life.machine import Simulation

_ROUND: Final = 500
"""Inputs for one parser before it is the next one's turn."""

_LIFE: Final = "life"
_LIVES: Final = 20
"""Lives in a round; each takes as long as hundreds of inputs."""

_SETTINGS: Final = settings(
    max_examples=_ROUND,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.target, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def fuzz(parser: Parser) -> tuple[int, bytes | None, str]:
    """Return how many inputs were tried, the smallest one that fails if any, and how it fails."""
    tried: list[bytes] = [b""]
    count = 0

    @_SETTINGS
    @given(inputs(parser))
    def attempt(data: bytes) -> None:
        nonlocal count
        count += 1
        tried[0] = data
        parser.check(data)

    try:
        attempt()
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        # Hypothesis tries the smallest one once more, at last.
        return count, tried[0], traceback.format_exc(limit=-3)
    return count, None, ""


def lead() -> str:
    """Lead the operator through some lives; return how one failed, if one did."""
    try:
        run_state_machine_as_test(
            Simulation, settings=settings(_SETTINGS, max_examples=_LIVES, stateful_step_count=50)
        )
    except Exception as error:  # noqa: BLE001 - as above
        notes = "\n".join(getattr(error, "__notes__", ()))
        return f"{notes}\n{traceback.format_exc(limit=-3)}"
    return ""


def save(parser: Parser, data: bytes) -> Path:
    """Keep an input, under a name that is its own."""
    path = CORPUS / parser.name / hashlib.sha256(data).hexdigest()[:12]
    path.write_bytes(data)
    return path


def main() -> int:
    """Fuzz until the time is over; return the exit status."""
    # What the parsers' callers log is not of interest; the lives have handlers of their own.
    logging.getLogger().addHandler(logging.NullHandler())
    seconds = float(os.environ.get("FUZZ_SECONDS") or 300)
    started = time.monotonic()
    counts = dict.fromkeys((*(parser.name for parser in PARSERS), _LIFE), 0)
    failing: set[str] = set()
    while time.monotonic() - started < seconds and len(failing) < len(counts):
        for parser in PARSERS:
            if parser.name in failing or time.monotonic() - started > seconds:
                continue
            count, found, how = fuzz(parser)
            counts[parser.name] += count
            if found is not None:
                failing.add(parser.name)
                print(f"\n{parser.name} fails; {save(parser, found)} holds:\n{found!r}\n{how}")
        if _LIFE not in failing and time.monotonic() - started < seconds:
            counts[_LIFE] += _LIVES
            if how := lead():
                failing.add(_LIFE)
                print(f"\na life goes wrong:\n{how}")
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        print(f"{time.monotonic() - started:4.0f} s: {told}", flush=True)
    print(f"failing: {', '.join(sorted(failing)) or 'none'}")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
