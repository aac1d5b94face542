"""The order in which test files run.

Tests that need a program wait most of the time, for other processes; those that need none are busy.
Both are spread over the run, so that each finds a processor when it can use one. Among either, the
files that take longest come first, so that all workers end at about the same time. Files whose
programs still have to be built come last.
"""

from collections.abc import Callable, Iterable

Seconds = Callable[[str], float]
"""Returns how long a file takes."""


def file_order(
    busy: Iterable[str], waiting: Iterable[str], last: Iterable[str], seconds: Seconds
) -> list[str]:
    """Return the files in the order in which they are to run."""
    places = [*_spread(busy, seconds), *_spread(waiting, seconds)]
    return [*(file for _, file in sorted(places)), *_longest_first(last, seconds)]


def _spread(files: Iterable[str], seconds: Seconds) -> list[tuple[float, str]]:
    """Return the files and how much of the time of all of them has passed before each, 0 to 1."""
    ordered = _longest_first(files, seconds)
    total = sum(map(seconds, ordered))
    passed = 0.0
    places = []
    for file in ordered:
        places.append((passed / total, file))
        passed += seconds(file)
    return places


def _longest_first(files: Iterable[str], seconds: Seconds) -> list[str]:
    return sorted(files, key=lambda file: (-seconds(file), file))
