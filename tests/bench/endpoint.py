"""The token endpoint of the benchmark."""

import random
from pathlib import Path

from tests.support.token_endpoint import TokenEndpoint

_SHORTEST = 5


class BenchEndpoint(TokenEndpoint):
    """A token endpoint whose first tokens can have lifetimes of random length.

    Resources that get their first tokens in a burst would be refreshed in bursts from then on. With
    first lifetimes of random length, refreshes are spread evenly from the start.

    Attributes:
        scattered: whether each token gets a random part of `lifetime`.
    """

    scattered = False

    def __init__(self, lifetime: int, latency: float, directory: Path) -> None:
        self._random = random.Random(1)
        self._lifetime = lifetime
        super().__init__(lifetime, latency, directory=directory)

    @property
    def lifetime(self) -> int:
        if self.scattered:
            return self._random.randint(min(_SHORTEST, self._lifetime), self._lifetime)
        return self._lifetime

    @lifetime.setter
    def lifetime(self, lifetime: int) -> None:
        self._lifetime = lifetime
