"""What is kept of deleted resources, so that recreating one in a loop is damped, too."""

from dataclasses import dataclass, field, replace
from typing import Final

from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.policies.contention import Damping
from pinecone_token_operator.reconcilers.state import Known

_MOST: Final = 1000


@dataclass(slots=True)
class Predecessors:
    """How often tokens of deleted resources had to be requested again; at most 1,000 of them."""

    _damping: dict[ObjectRef, Damping] = field(default_factory=dict, init=False)

    def add(self, ref: ObjectRef, known: Known) -> None:
        """Keep what matters of a resource that was deleted."""
        if known.delivered is None and known.times is None and not known.recreated:
            return  # no token was requested for it or for its own predecessors
        self._damping.pop(ref, None)
        self._damping[ref] = known.damping
        if len(self._damping) > _MOST:
            del self._damping[next(iter(self._damping))]

    def hand_over(self, ref: ObjectRef, known: Known) -> Known:
        """Return what is known of a new resource, with what was kept of its predecessor."""
        damping = self._damping.pop(ref, None)
        if damping is None:
            return known
        return replace(known, had_token=True, recreated=True, damping=damping)
