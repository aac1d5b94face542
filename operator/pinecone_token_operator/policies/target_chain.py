"""The target chain: whether one target is to be written, and with what. No I/O, no clock."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.contention import Cause, contested
from pinecone_token_operator.policies.input import TargetInput, Wanted
from pinecone_token_operator.policies.schedule import refresh_at, refresh_window
from pinecone_token_operator.targets.secret import differs, ownership_differs
from pinecone_token_operator.targets.stored_token import MAX_SIZE, StoredToken, max_rendered_size

# Characters of an access token that a template must have room for; Pinecone's has about a thousand.
_TYPICAL_TOKEN: Final = 1024


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """What to do about one target.

    Attributes:
        why: why the target is to be written, half a sentence for the log; empty if it is not.
        write: the token to write.
        set_ownership: whether only who deletes the token is to be set.
        problem: why it is not written although it is not as it should be.
        contested: whether another writer caused the write.
        wake_at: when time alone changes this plan; None if it does not.
        held_until: until when the write waits because of another writer; None if none does.
    """

    why: str = ""
    write: StoredToken | None = None
    set_ownership: bool = False
    problem: Problem | None = None
    contested: bool = False
    wake_at: datetime | None = None
    held_until: datetime | None = None


def plan_target(
    given: TargetInput,
    wanted: Wanted,
    token: StoredToken | None,
    now: datetime,
    fraction: float,
) -> TargetPlan:
    """Return what to do about one target now.

    Args:
        given: the target.
        wanted: what the resource requests.
        token: a token to deliver that the targets lack; None if there is none.
        now: the time.
        fraction: a random number in [0, 1), for a new refresh time.
    """
    problem = _problem(given, token)
    if problem is not None:
        return TargetPlan(problem=problem)
    return _with_fight(given, _next_write(given, wanted, token, now, fraction), now)


def repair_cause(given: TargetInput) -> Cause:
    """Return what to record about a write that another writer caused."""
    writer = given.target.writer if given.target else ""
    return Cause(f"Secret {'/'.join(given.spec.key)} was repaired", writer)


def is_deliverable(given: TargetInput) -> bool:
    """Return whether a token could be written to the target."""
    return _problem(given, None) is None


def _next_write(
    given: TargetInput,
    wanted: Wanted,
    token: StoredToken | None,
    now: datetime,
    fraction: float,
) -> TargetPlan:
    if wanted.suspend:
        return _ownership(given, now)
    if token is not None and token.expires_at > now and token.times != given.times:
        return _delivery(given, token, now)
    return _repair(given, wanted, now, fraction) or _ownership(given, now)


def _with_fight(given: TargetInput, plan: TargetPlan, now: datetime) -> TargetPlan:
    """Report a fight until the target was left alone for a while: each repair wins for a moment."""
    if plan.why or plan.problem or given.damping.cause is None:
        return plan
    until = given.damping.fought_until(now)
    if until is None:
        return plan
    wake_at = min(until, plan.wake_at or until)
    return replace(plan, problem=given.damping.fight(), wake_at=wake_at)


def _problem(given: TargetInput, token: StoredToken | None) -> Problem | None:
    return given.unreadable or given.obstacle or _too_large(given, token)


def _delivery(given: TargetInput, token: StoredToken, now: datetime) -> TargetPlan:
    if given.delivery_blocked_until is not None and given.delivery_blocked_until > now:
        return TargetPlan(wake_at=given.delivery_blocked_until)
    lost = (given.had_token and given.times is None) or given.reverted
    held = _held(given, now) if lost else None
    return held or TargetPlan(why="there is a new token to deliver", write=token, contested=lost)


def _repair(
    given: TargetInput, wanted: Wanted, now: datetime, fraction: float
) -> TargetPlan | None:
    """Write the token that is there again, if anything else is not as it should be.

    Also while a token request has to wait or cannot be made: the token has some lifetime left.
    """
    target, token = given.target, given.stored
    if target is None or token is None or token.expires_at <= now:
        return None
    token = _within_schedule(token, wanted, fraction)
    if not differs(target, given.spec, token):
        return None
    if given.repair_blocked_until is not None and given.repair_blocked_until > now:
        return TargetPlan(wake_at=given.repair_blocked_until)
    return _held(given, now) or TargetPlan(why="repairing drift", write=token, contested=True)


def _within_schedule(token: StoredToken, wanted: Wanted, fraction: float) -> StoredToken:
    """Return a token whose refresh time fits the requested margin."""
    times = token.refreshed_at, token.expires_at, wanted.refresh_before
    earliest, latest = refresh_window(*times)
    if earliest <= token.refresh_at <= latest:
        return token
    return replace(token, refresh_at=refresh_at(*times, fraction))


def _ownership(given: TargetInput, now: datetime) -> TargetPlan:
    """Set who deletes the token, which also a suspended resource may change."""
    target = given.target
    # Under Merge, what holds no token of ours has nothing to delete.
    if target is None or not ownership_differs(target, given.spec):
        return TargetPlan()
    if given.repair_blocked_until is not None and given.repair_blocked_until > now:
        return TargetPlan(wake_at=given.repair_blocked_until)
    if (held := _held(given, now)) is not None:
        return held
    return TargetPlan(why="updating its ownership", set_ownership=True, contested=True)


def _held(given: TargetInput, now: datetime) -> TargetPlan | None:
    """Hold back a repair that another writer has caused too often."""
    held_until = given.damping.held_until
    if held_until is None or held_until <= now:
        return None
    cause, known = repair_cause(given), given.damping.cause
    writer = cause.writer or (known.writer if known else "")
    problem = contested(
        f"{cause.what} {given.damping.count} times in quick succession", writer, held_until
    )
    return TargetPlan(problem=problem, wake_at=held_until, held_until=held_until)


def _too_large(given: TargetInput, token: StoredToken | None) -> Problem | None:
    """Refuse to render what no Secret can hold: it would take the memory of all resources."""
    if not given.spec.template.data:
        return None
    # Never less than is typical: whether a token is read or not must not change the answer.
    longest = token or given.stored
    length = max(len(longest.access_token) if longest else 0, _TYPICAL_TOKEN)
    size = max_rendered_size(given.spec.template.data, length)
    if size <= MAX_SIZE:
        return None
    return Problem(
        Reason.TEMPLATE_TOO_LARGE,
        f"spec.target.template.data renders to {size // 1000} kB; shorten it to less than "
        f"{MAX_SIZE // 1000} kB",
    )
