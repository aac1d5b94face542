"""Settings of a run, from environment variables."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.variables import whole_number

MAX_MINUTES = 24 * 60
MAX_RESOURCES = 2000
MAX_SEED = 10**9


@dataclass(frozen=True, slots=True)
class Settings:
    """The validated settings.

    Attributes:
        seconds: how long faults are injected.
        seed: decides which.
        resources: how many there are.
        directory: where the report and the logs go.
    """

    seconds: float
    seed: int
    resources: int
    directory: Path

    @property
    def selected(self) -> bool:
        """Whether the operator watches a list of namespaces, instead of all."""
        return self.seed % 2 == 0


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables; an empty one counts as unset.

    Raises:
        SettingsError: a variable has an invalid value.
    """
    any_seed = str(random.SystemRandom().randrange(10_000))
    return Settings(
        seconds=60.0 * whole_number(environ, "CHAOS_MINUTES", "10", 1, MAX_MINUTES),
        seed=whole_number(environ, "CHAOS_SEED", any_seed, 0, MAX_SEED),
        resources=whole_number(environ, "CHAOS_RESOURCES", "200", 10, MAX_RESOURCES),
        directory=Path(environ.get("CHAOS_DIRECTORY") or "chaos-report").resolve(),
    )
