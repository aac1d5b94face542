"""Running other programs, and telling what came of it."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandError(Exception):
    """A program ended with an error; the message has the end of what it said."""


def run(
    *command: str | Path,
    timeout: float = 600.0,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text: str = "",
) -> str:
    """Run a program to its end, and return what it printed.

    Args:
        command: the program and its arguments.
        timeout: seconds.
        environ: what the environment has beside this process's own.
        cwd: where it runs.
        text: its standard input.
    """
    done = subprocess.run(
        [str(part) for part in command],
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env={**os.environ, **(environ or {})},
    )
    if done.returncode != 0:
        told = (done.stdout + done.stderr).strip()[-4000:]
        raise CommandError(f"{_shown(command)} failed:\n{told}")
    return done.stdout


def _shown(command: Sequence[str | Path]) -> str:
    return " ".join(str(part) for part in command)
