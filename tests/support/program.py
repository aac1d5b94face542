"""What the harnesses share: output that appears at once, errors in one line, and clean-up."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import httpx

from tests.support.api import KubeError
from tests.support.cluster import ClusterError
from tests.support.control_plane import BuildError
from tests.support.operator_process import OperatorError
from tests.support.variables import SettingsError

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class ProgramError(Exception):
    """The program cannot go on; the message is one line for the reader."""


def run_program(name: str, run: Callable[[], int]) -> int:
    """Run a harness and return its exit status.

    An invalid variable gives 2 and any other expected error gives 1, each with one line on stderr.
    A signal ends the program by `SystemExit`, so that everything it started is stopped.
    """
    for number in _STOPPING:
        signal.signal(number, _stop)
    try:
        return run()
    except SettingsError as error:
        _print_error(name, error)
        return 2
    except (ProgramError, BuildError, ClusterError, OperatorError, KubeError) as error:
        _print_error(name, error)
        return 1
    except httpx.HTTPError as error:
        _print_error(name, f"the API server stopped responding: {error!r}")
        return 1


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def begin_clean_up() -> None:
    """Announce the clean-up and ignore signals: a second Ctrl-C would leave something behind."""
    _ignore_signals()
    say("")
    say("Cleaning up.")


def _print_error(name: str, error: object) -> None:
    print(f"{name}: {error}", file=sys.stderr, flush=True)


def _stop(number: int, _frame: object) -> NoReturn:
    _ignore_signals()
    raise SystemExit(128 + number)


def _ignore_signals() -> None:
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
