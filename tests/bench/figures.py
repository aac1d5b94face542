"""Figures and how they are printed."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement.

    Attributes:
        name: what was measured, in a few words.
        value: the result; NaN if it could not be measured.
        unit: of the value.
        goal: what it should be, in words; empty if there is no goal.
    """

    name: str
    value: float
    unit: str = ""
    goal: str = ""


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that so many percent do not exceed; NaN if there are no values."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(
    name: str, seconds: Sequence[float], p50: str = "", p99: str = "", longest: str = ""
) -> list[Figure]:
    """Return three figures of durations, in milliseconds.

    Args:
        name: what was measured.
        seconds: the durations.
        p50: the goal of the median.
        p99: the goal of the 99th percentile.
        longest: the goal of the maximum.
    """
    return [
        Figure(f"{name}, p50 of {len(seconds)}", percentile(seconds, 50) * 1000, "ms", p50),
        Figure(f"{name}, p99", percentile(seconds, 99) * 1000, "ms", p99),
        Figure(f"{name}, longest", percentile(seconds, 100) * 1000, "ms", longest),
    ]


def table(parts: dict[str, list[Figure]]) -> str:
    """Return all figures with their goals, one per line."""
    width = 2 + max(
        (len(figure.name) for figures in parts.values() for figure in figures), default=0
    )
    lines = [f"{'':10}{'':{width}}{'measured':>10} {'':10}goal"]
    for part, figures in parts.items():
        lines.append("")
        for number, figure in enumerate(figures):
            lines.append(
                f"{part if number == 0 else '':10}{figure.name:{width}}"
                f"{_text(figure.value):>10} {figure.unit:10}{figure.goal}".rstrip()
            )
    return "\n".join(lines)


def _text(value: float) -> str:
    if math.isnan(value):
        return "-"
    if value == 0 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
