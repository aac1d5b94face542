"""Feeds the parsers arbitrary input for FUZZ_SECONDS (300) and keeps what breaks one.

    make fuzz

A failing input is minimised and saved in the corpus, which `make test` replays: commit it together
with the fix. In between, simulations that no test has run are tried; if one fails, its steps are
printed so that they can become a test. Exit status: 0 nothing failed; 1 something did.
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
"""Inputs for one parser in each round."""

_SIMULATION: Final = "simulation"
_SIMULATIONS: Final = 20
"""Simulations in each round; one takes as long as hundreds of inputs."""

_SETTINGS: Final = settings(
    max_examples=_ROUND,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.target, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def fuzz(parser: Parser) -> tuple[int, bytes | None, str]:
    """Return how many inputs were tried, the smallest failing one if any, and how it fails."""
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
    except Exception:  # noqa: BLE001 - any error is a finding
        # Hypothesis tries the smallest one again at the end.
        return count, tried[0], traceback.format_exc(limit=-3)
    return count, None, ""


def simulate() -> str:
    """Run some simulations; return how one failed, if one did."""
    try:
        run_state_machine_as_test(
            Simulation,
            settings=settings(_SETTINGS, max_examples=_SIMULATIONS, stateful_step_count=50),
        )
    except Exception as error:  # noqa: BLE001 - as above
        notes = "\n".join(getattr(error, "__notes__", ()))
        return f"{notes}\n{traceback.format_exc(limit=-3)}"
    return ""


def save(parser: Parser, data: bytes) -> Path:
    """Save an input in the corpus under a hash."""
    path = CORPUS / parser.name / hashlib.sha256(data).hexdigest()[:12]
    path.write_bytes(data)
    return path


def main() -> int:
    """Fuzz until the time is over, and return the exit status."""
    # What the parsers log does not matter; the simulations have handlers of their own.
    logging.getLogger().addHandler(logging.NullHandler())
    seconds = float(os.environ.get("FUZZ_SECONDS") or 300)
    started = time.monotonic()
    counts = dict.fromkeys((*(parser.name for parser in PARSERS), _SIMULATION), 0)
    failing: set[str] = set()
    while time.monotonic() - started < seconds and len(failing) < len(counts):
        for parser in PARSERS:
            if parser.name in failing or time.monotonic() - started > seconds:
                continue
            count, found, how = fuzz(parser)
            counts[parser.name] += count
            if found is not None:
                failing.add(parser.name)
                print(f"\n{parser.name} fails; saved as {save(parser, found)}:\n{found!r}\n{how}")
        if _SIMULATION not in failing and time.monotonic() - started < seconds:
            counts[_SIMULATION] += _SIMULATIONS
            if how := simulate():
                failing.add(_SIMULATION)
                print(f"\na simulation fails:\n{how}")
        tried = ", ".join(f"{name} {count}" for name, count in counts.items())
        print(f"{time.monotonic() - started:4.0f} s: {tried}", flush=True)
    print(f"failing: {', '.join(sorted(failing)) or 'none'}")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
