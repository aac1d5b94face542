"""Readiness: whether a target holds a valid token. No I/O, no clock."""

from datetime import datetime

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.input import TargetInput
from pinecone_token_operator.targets.stored_token import format_time

# Which problems of a refresh say by themselves why there is no token at all.
_SELF_EXPLANATORY = (Reason.CREDENTIALS_NOT_FOUND, Reason.CREDENTIALS_INVALID)


def find_unready(
    given: TargetInput, not_refreshed: Problem | None, now: datetime
) -> Problem | None:
    """Return why the target provides no valid token; None if it does.

    Args:
        given: the target.
        not_refreshed: why the latest refresh failed, if it did.
        now: the time.
    """
    obstacle = given.obstacle
    if obstacle is not None:
        return obstacle
    secret = f"Secret {'/'.join(given.spec.key)}"
    why = f": {not_refreshed.message}" if not_refreshed else ""
    if given.times is None:
        if not_refreshed and not_refreshed.reason in _SELF_EXPLANATORY:
            return not_refreshed
        return Problem(Reason.TOKEN_MISSING, f"{secret} holds no token{why}")
    if given.times.expires_at <= now:
        expired = f"the token in {secret} expired at {format_time(given.times.expires_at)}"
        return Problem(Reason.TOKEN_EXPIRED, f"{expired}{why}")
    return None
