"""What a program promised and whether the promise was kept."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise and how it was broken.

    Attributes:
        text: the promise, as a sentence in the past tense.
        breaches: a phrase for each breach; empty if it was kept.
    """

    text: str
    breaches: Sequence[str]
