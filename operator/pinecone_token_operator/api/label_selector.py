"""Label selectors in a resource. No I/O."""

from collections.abc import Mapping

from pydantic import Field
from pydantic.dataclasses import dataclass

from pinecone_token_operator.api.common import CONFIG
from pinecone_token_operator.api.labels import Operator, is_met


@dataclass(config=CONFIG, frozen=True, slots=True)
class Requirement:
    """One requirement on the labels of an object."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def is_met_by(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels meet the requirement."""
        return is_met(labels, self.key, self.operator, self.values)


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
