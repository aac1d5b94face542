"""What every way to inject a fault has in common."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.chaos.environment import Environment
from tests.chaos.records import Key


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that lasts until its context is left.

    Attributes:
        began: just before anything was done, in seconds of the run.
        affects: as in `records.Fault`.
        note: what was chosen.
    """

    began: float
    affects: frozenset[Key] | None = None
    note: str = ""


Inject = Callable[[Environment, random.Random], AbstractContextManager[Injected]]
"""Injects a fault and undoes it when its context is left; the generator decides what is random."""
