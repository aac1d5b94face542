"""What the programs for people share: lines that appear at once, and an end that cleans up."""

import signal
import sys
from typing import NoReturn

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def say(line: str) -> None:
    """Tell something."""
    print(line, flush=True)


def complain(program: str, error: object) -> None:
    """Tell why the program ends."""
    print(f"{program}: {error}", file=sys.stderr, flush=True)


def clean_up_on_signals() -> None:
    """Leave by SystemExit when the program is told to stop, so that what it started is ended."""
    for number in _STOPPING:
        signal.signal(number, _stop)


def begin_clean_up() -> None:
    """Tell so, and hear no more signals: a second Ctrl-C would leave something behind."""
    _ignore_signals()
    say("")
    say("Cleaning up.")


def _stop(number: int, _frame: object) -> NoReturn:
    _ignore_signals()
    raise SystemExit(128 + number)


def _ignore_signals() -> None:
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
