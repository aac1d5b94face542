"""What the reader asks of the benchmark, by environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PARTS = ("changes", "burst", "steady", "restart", "growth", "others", "shards")
MOST = 100_000


class SettingsError(Exception):
    """A variable cannot be used; the message is one line for the reader."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The variables, checked.

    Attributes:
        resources: how many resources the parts use, except where a part says its own.
        parts: what to measure, in the order of `PARTS`.
        latency: how long the token endpoint takes for an answer, in seconds.
        seconds: how long steady refreshing is measured, in seconds.
        growth: the numbers of resources that the part growth compares.
        foreign: how many Secrets of somebody else the part others makes.
        shards: how many operators the part shards starts, each for `resources`.
        json: where the figures go as JSON; None prints them.
    """

    resources: int
    parts: tuple[str, ...]
    latency: float
    seconds: int
    growth: tuple[int, ...]
    foreign: int
    shards: int
    json: Path | None


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables; an empty one counts as unset."""

    def text(name: str, default: str) -> str:
        return environ.get(name) or default

    return Settings(
        resources=_number("N", text("N", "1000"), 10),
        parts=_parts(text("BENCH_PARTS", ",".join(PARTS))),
        latency=_number("BENCH_LATENCY_MS", text("BENCH_LATENCY_MS", "50"), 0) / 1000,
        seconds=_number("BENCH_SECONDS", text("BENCH_SECONDS", "60"), 5),
        growth=tuple(
            _number("BENCH_GROWTH", part, 10)
            for part in text("BENCH_GROWTH", "100,1000,10000").split(",")
        ),
        foreign=_number("BENCH_FOREIGN", text("BENCH_FOREIGN", "50000"), 0),
        shards=_number("BENCH_SHARDS", text("BENCH_SHARDS", "4"), 2),
        json=Path(environ["BENCH_JSON"]) if environ.get("BENCH_JSON") else None,
    )


def _number(name: str, text: str, least: int) -> int:
    text = text.strip().replace("_", "")
    if text.isascii() and text.isdigit() and least <= int(text) <= MOST:
        return int(text)
    raise SettingsError(f"{name}={text!r} cannot be used: give whole numbers, {least} to {MOST}.")


def _parts(text: str) -> tuple[str, ...]:
    wanted = {part.strip() for part in text.split(",")}
    if unknown := wanted - set(PARTS):
        raise SettingsError(
            f"BENCH_PARTS knows no {', '.join(sorted(unknown))}: name some of {', '.join(PARTS)}."
        )
    return tuple(part for part in PARTS if part in wanted)
