"""Each test of a rule has a lab."""

from collections.abc import Callable, Iterator

import pytest

from tests.life.lab import Lab


@pytest.fixture
def make_lab() -> Iterator[Callable[..., Lab]]:
    """Return what makes a lab that serves the given namespaces, by default one."""
    labs: list[Lab] = []

    def make(*namespaces: str) -> Lab:
        labs.append(Lab(*namespaces))
        return labs[-1]

    yield make
    for each in labs:
        each.close()


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()
