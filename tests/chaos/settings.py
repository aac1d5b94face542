"""What the reader asks of a run, by environment variables."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LONGEST_MINUTES = 24 * 60
MOST_RESOURCES = 2000

_MINUTES = "10"
_RESOURCES = "200"
_DIRECTORY = "chaos-report"


class SettingsError(Exception):
    """A variable cannot be used."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The variables, checked.

    Attributes:
        seconds: how long faults are made.
        seed: decides which.
        resources: how many there are.
        directory: where the report and the logs go.
    """

    seconds: float
    seed: int
    resources: int
    directory: Path


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables; an empty one counts as unset."""
    seed = environ.get("CHAOS_SEED") or str(random.SystemRandom().randrange(10_000))
    minutes = _whole("CHAOS_MINUTES", environ.get("CHAOS_MINUTES") or _MINUTES, LONGEST_MINUTES)
    resources = environ.get("CHAOS_RESOURCES") or _RESOURCES
    return Settings(
        seconds=60.0 * minutes,
        seed=_whole("CHAOS_SEED", seed, 10**9, least=0),
        resources=_whole("CHAOS_RESOURCES", resources, MOST_RESOURCES, least=10),
        directory=Path(environ.get("CHAOS_DIRECTORY") or _DIRECTORY).resolve(),
    )


def _whole(name: str, text: str, most: int, *, least: int = 1) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most:
        return int(text)
    raise SettingsError(
        f"{name}={text!r} cannot be used: give a whole number from {least} to {most}."
    )
