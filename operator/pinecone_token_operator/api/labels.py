"""How label selectors compare labels. No I/O.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from collections.abc import Collection, Mapping
from enum import StrEnum


class Operator(StrEnum):
    """How a requirement compares a label with its values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


def is_met(
    labels: Mapping[str, str], key: str, operator: Operator, values: Collection[str]
) -> bool:
    """Return whether labels meet a requirement; NotIn is met by a missing label, too."""
    match operator:
        case Operator.IN:
            return key in labels and labels[key] in values
        case Operator.NOT_IN:
            return key not in labels or labels[key] not in values
        case Operator.EXISTS:
            return key in labels
        case Operator.DOES_NOT_EXIST:
            return key not in labels
