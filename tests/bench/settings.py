"""Settings of the benchmark, from environment variables."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.variables import SettingsError, whole_number

PARTS = (
    *("changes", "burst", "steady", "restart", "growth", "others", "shards", "namespaces"),
    *("imports", "neighbors"),
)
MAX = 100_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The validated settings.

    Attributes:
        resources: how many resources the parts use, unless a part has its own number.
        parts: what to measure, in the order of `PARTS`.
        latency: the token endpoint's response time, in seconds.
        seconds: how long steady refreshing is measured.
        growth: the numbers of resources that the part growth compares.
        foreign: how many unrelated Secrets the part others creates.
        shards: how many operators the part shards starts, each for `resources`.
        python: the interpreter of the operator; it needs what requirements/run.txt names.
        json: the file for the figures as JSON; None prints them.
    """

    resources: int
    parts: tuple[str, ...]
    latency: float
    seconds: int
    growth: tuple[int, ...]
    foreign: int
    shards: int
    python: Path
    json: Path | None


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables; an empty one counts as unset.

    Raises:
        SettingsError: a variable has an invalid value.
    """

    def number(name: str, default: str, least: int) -> int:
        return whole_number(environ, name, default, least, MAX)

    growth = environ.get("BENCH_GROWTH") or "100,1000,10000"
    return Settings(
        resources=number("N", "1000", 10),
        parts=_parts(environ.get("BENCH_PARTS") or ",".join(PARTS)),
        latency=number("BENCH_LATENCY_MS", "50", 0) / 1000,
        seconds=number("BENCH_SECONDS", "60", 5),
        growth=tuple(
            whole_number({}, "BENCH_GROWTH", part.strip(), 10, MAX) for part in growth.split(",")
        ),
        foreign=number("BENCH_FOREIGN", "50000", 0),
        shards=number("BENCH_SHARDS", "4", 2),
        python=Path(environ.get("BENCH_PYTHON") or sys.executable),
        json=Path(environ["BENCH_JSON"]) if environ.get("BENCH_JSON") else None,
    )


def _parts(text: str) -> tuple[str, ...]:
    wanted = {part.strip() for part in text.split(",")}
    if unknown := wanted - set(PARTS):
        raise SettingsError(
            f"BENCH_PARTS={text!r} is invalid: {', '.join(sorted(unknown))} is not one of "
            f"{', '.join(PARTS)}."
        )
    return tuple(part for part in PARTS if part in wanted)
