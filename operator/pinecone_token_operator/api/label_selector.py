"""Label selectors, as Kubernetes defines them. No I/O.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field
from pydantic.dataclasses import dataclass

from pinecone_token_operator.api.common import CONFIG


class Operator(StrEnum):
    """How a requirement compares a label with its values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(config=CONFIG, frozen=True, slots=True)
class Requirement:
    """One requirement on the labels of an object."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def is_met_by(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels meet the requirement; NotIn is met by a missing label, too."""
        match self.operator:
            case Operator.IN:
                return self.key in labels and labels[self.key] in self.values
            case Operator.NOT_IN:
                return self.key not in labels or labels[self.key] not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(config=CONFIG, frozen=True, slots=True)
class LabelSelector:
    """Requirements that must all be met; none at all select everything."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] | None = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels meet all requirements."""
        return self.match_labels.items() <= labels.items() and all(
            one.is_met_by(labels) for one in self.match_expressions or ()
        )
