"""What follows from what is known: the plans, and the next wake-up. No I/O, no clock."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pinecone_token_operator.policies.input import TargetInput
from pinecone_token_operator.policies.target_chain import TargetPlan, plan_target
from pinecone_token_operator.policies.token_chain import TokenPlan, plan_token
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.state import Known


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is true after a refresh.

    Attributes:
        known: what is known of the resource.
        token_plan: what is to be done about its token next.
        targets: each target, and what is to be done about it next.
        wake_at: when to reconcile again without an event; None if never.
    """

    known: Known
    token_plan: TokenPlan
    targets: tuple[tuple[TargetInput, TargetPlan], ...]
    wake_at: datetime | None


def evaluate(
    assignment: Assignment, known: Known, now: datetime, *, fraction: float, keep: timedelta
) -> Outcome:
    """Return what follows from what is known, for the status and the next wake-up.

    Args:
        assignment: what the resource requests.
        known: what is known after a refresh.
        now: the time.
        fraction: a random number in [0, 1).
        keep: how long after its issue a token is kept in memory.
    """
    given, inputs = known.inputs(assignment)
    token_plan = plan_token(given, now)
    targets = []
    moments = [now if token_plan.why else token_plan.wake_at]
    for target in inputs:
        plan = plan_target(target, assignment.wanted, token_plan.deliver, now, fraction)
        targets.append((target, plan))
        moments.append(now if plan.why else plan.wake_at)
    if known.trouble.retry_at is not None:
        moments = [known.trouble.retry_at]
    moments += [one.read_at for one in known.targets.values() if one.read_at]
    moments += [ready_until(target, now) for target, _ in targets]
    if known.cached:
        moments.append(known.cached_until(keep))
    wake_at = min((moment for moment in moments if moment is not None), default=None)
    return Outcome(known, token_plan, tuple(targets), wake_at)


def ready_until(given: TargetInput, now: datetime) -> datetime | None:
    """Return when the target stops being ready by itself; None if it is not ready."""
    times = given.provided
    return times.expires_at if times and times.expires_at > now else None
