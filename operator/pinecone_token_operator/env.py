"""What varies between production and a test: the time and chance."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Env:
    """The clocks and the random numbers that everything uses.

    Attributes:
        now: the current time; aware, in UTC.
        monotonic: seconds of a clock that never goes backwards.
        rng: jitter; not for secrets.
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    rng: random.Random
