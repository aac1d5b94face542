"""Runs other programs."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandError(Exception):
    """A program failed; the message contains the end of its output."""


def run(
    *command: str | Path,
    timeout: float = 600.0,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text: str = "",
) -> str:
    """Run a program and return its output.

    Args:
        command: the program and its arguments.
        timeout: seconds.
        environ: variables to set in addition to this process's own.
        cwd: its working directory.
        text: its standard input.

    Raises:
        CommandError: it failed.
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
        output = (done.stdout + done.stderr).strip()[-4000:]
        raise CommandError(f"{_shown(command)} failed:\n{output}")
    return done.stdout


def _shown(command: Sequence[str | Path]) -> str:
    return " ".join(str(part) for part in command)
