"""Runs a test suite several times under load, and sums up how that went."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.soak.load import Load

Say = Callable[[str], None]

_STATUS_SECONDS: Final = 60.0
# pytest's last line, such as "== 2 failed, 1220 passed, 5 skipped in 840.12s (0:14:00) ==".
_SUMMARY = re.compile(r"^=*\s?([\d\w, ]+) in \d+\.\d+s.*$", re.MULTILINE)
_BROKEN = re.compile(r"^(?:FAILED|ERROR) .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the suite.

    Attributes:
        number: which, from 1 on.
        seconds: how long it took.
        lowest: the lowest load of a minute during the run, and `mean` the mean.
        code: the exit status.
        summary: pytest's own.
        broken: pytest's lines about tests that failed.
    """

    number: int
    seconds: float
    lowest: float
    mean: float
    code: int
    summary: str
    broken: tuple[str, ...]


def soak(command: Sequence[str], runs: int, load: Load, directory: Path, say: Say) -> list[Run]:
    """Run a command again and again, whatever comes of it.

    Args:
        command: runs the suite.
        runs: how often.
        load: what the machine is kept busy with; its readings are taken.
        directory: where each run's output is kept.
        say: told how far it is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    done = []
    for number in range(1, runs + 1):
        log = directory / f"run-{number}.log"
        say(f"run {number}/{runs} starts; its output goes to {log}")
        load.take()
        started = time.monotonic()
        code = _run(command, log, f"run {number}/{runs}", say)
        lowest, mean = load.take()
        output = log.read_text("utf-8", "replace")
        done.append(
            Run(
                number=number,
                seconds=time.monotonic() - started,
                lowest=lowest,
                mean=mean,
                code=code,
                summary=(_SUMMARY.findall(output) or [f"exit status {code}"])[-1],
                broken=tuple(_BROKEN.findall(output)),
            )
        )
        say(table(done[-1:])[-1])
    return done


def table(runs: Sequence[Run]) -> list[str]:
    """Return the lines of a table, its header first."""
    lines = [f"{'run':>3}  {'time':>6}  {'lowest load':>11}  {'mean load':>9}  result"]
    for run in runs:
        minutes, seconds = divmod(round(run.seconds), 60)
        lines.append(
            f"{run.number:3}  {minutes:3}:{seconds:02}  {run.lowest:11.1f}  {run.mean:9.1f}  "
            f"{run.summary}"
        )
    return lines


def _run(command: Sequence[str], log: Path, name: str, say: Say) -> int:
    started = time.monotonic()
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(_STATUS_SECONDS):
            say(f"{name} is running for {(time.monotonic() - started) / 60:.0f} min")

    reporter = threading.Thread(target=report, name="soak", daemon=True)
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):
        reporter.start()
        try:
            return process.wait()
        finally:
            process.terminate()
            ended.set()
            reporter.join()
