"""How often a test asks for what it waits for."""

from typing import Final

_SHORTEST: Final = 0.02
_LONGEST: Final = 0.25


def poll_interval(waited: float) -> float:
    """Return how many seconds to wait before asking again, given for how many it has been.

    A tenth of them: what comes at once is seen at once, and what takes long costs few requests. Six
    tests at a time that ask 50 times a second occupy a core, and slow down what they wait for.
    """
    return min(max(_SHORTEST, waited / 10), _LONGEST)
