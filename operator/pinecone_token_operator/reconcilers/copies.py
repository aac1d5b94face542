"""How the copies of one token in many namespaces are. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pinecone_token_operator.api.conditions import Problem
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.policies.input import TargetInput
from pinecone_token_operator.policies.readiness import find_unready
from pinecone_token_operator.policies.target_chain import TargetPlan
from pinecone_token_operator.reconcilers.outcome import Outcome

MAX_LISTED: Final = 50
# All listed messages together; a status must not grow with the number of namespaces.
_MESSAGE_BUDGET: Final = 3000
_MAX_MESSAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Copies:
    """How the copies of one token are.

    Attributes:
        matched: how many namespaces are selected.
        ready: how many hold the current token.
        failed: why a namespace's copy is not as it should be, by namespace.
        pending: how many have yet to be written, without a failure.
    """

    matched: int
    ready: int
    failed: Mapping[str, Problem]
    pending: int = 0

    def status(self) -> dict[str, Any]:
        """Return `status.targets`: a few kB at most, however many there are."""
        names = sorted(self.failed)
        listed = names[:MAX_LISTED]
        length = min(_MAX_MESSAGE, _MESSAGE_BUDGET // max(1, len(listed)))
        status: dict[str, Any] = {
            "summary": f"{self.ready}/{self.matched}",
            "matched": self.matched,
            "ready": self.ready,
            "failed": [
                {
                    "namespace": name,
                    "reason": str(self.failed[name].reason),
                    "message": shorten(self.failed[name].message, length),
                }
                for name in listed
            ],
        }
        if len(names) > len(listed):
            status["moreFailed"] = len(names) - len(listed)
        return status


def count_copies(outcome: Outcome, unremoved: Mapping[SecretKey, Problem], now: datetime) -> Copies:
    """Return how the copies are.

    Args:
        outcome: what is true after a reconcile.
        unremoved: the copies in namespaces that are not selected any more, and why they are there.
        now: the time.
    """
    newest = outcome.known.times
    failed = {namespace: problem for (namespace, _), problem in unremoved.items()}
    ready = pending = 0
    for target, plan in outcome.targets:
        problem = _find_problem(target, plan, now)
        if problem is not None:
            # Without any token, every copy lacks it for the same reason, which Ready gives.
            if newest is not None or target.obstacle:
                failed[target.spec.key[0]] = problem
            else:
                pending += 1
        elif target.provided == newest:
            ready += 1
        else:
            pending += 1
    return Copies(len(outcome.targets), ready, failed, pending)


def _find_problem(target: TargetInput, plan: TargetPlan, now: datetime) -> Problem | None:
    if target.obstacle is not None:
        return target.obstacle
    problem = plan.problem or target.attempts.problem
    return problem or (None if plan.why else find_unready(target, None, now))


def shorten(message: str, length: int) -> str:
    """Return at most so many characters of a message."""
    return message if len(message) <= length else f"{message[: length - 1]}…"
