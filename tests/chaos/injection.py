"""What every way to make a fault has in common."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.chaos.fairness import Key
from tests.chaos.place import Place


@dataclass(frozen=True, slots=True)
class Made:
    """A fault that lasts until its context is left.

    Attributes:
        began: just before anything was done, in seconds of the run.
        concerns: as of `fairness.Fault`. note: what was chosen.
    """

    began: float
    concerns: frozenset[Key] | None = None
    note: str = ""


Inject = Callable[[Place, random.Random], AbstractContextManager[Made]]
"""Makes a fault and, when its context is left, unmakes it. What is random comes from the second."""
