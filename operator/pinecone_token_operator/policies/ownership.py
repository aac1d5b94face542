"""Whose the target is: checks that refuse to touch what is not the resource's. No I/O.

Each returns a decision, or None if it has nothing against the target.
"""

from datetime import datetime

from pinecone_token_operator.api.access_token import CreationPolicy
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.policies.decision import Action, Decision
from pinecone_token_operator.policies.observed import Observed, Problem
from pinecone_token_operator.targets.target import ALLOW_MERGE, is_owned_by


def of_an_older_resource(observed: Observed, _: datetime) -> Decision | None:
    """Refuse a target that an older resource names, too."""
    if observed.conflict is None:
        return None
    return _refuse(
        Reason.TARGET_CONFLICT,
        f"the older PineconeAccessToken {observed.conflict} has the same target Secret "
        f"{observed.resource.target_name}: delete one of them",
    )


def of_somebody_else(observed: Observed, _: datetime) -> Decision | None:
    """Refuse, under `Owner`, a Secret that this resource did not make."""
    resource, target = observed.resource, observed.target
    if resource.spec.target.creation_policy is CreationPolicy.MERGE:
        return None
    if target is None or is_owned_by(target, resource):
        return None
    return _refuse(
        Reason.TARGET_NOT_OWNED,
        f"the Secret {resource.target_name} exists and is not this resource's, so it is left "
        f"alone: delete it, or create this resource anew with another spec.target.name",
    )


def not_to_be_merged_into(observed: Observed, _: datetime) -> Decision | None:
    """Refuse, under `Merge`, a Secret that is not there or does not allow it."""
    resource, target = observed.resource, observed.target
    if resource.spec.target.creation_policy is not CreationPolicy.MERGE:
        return None
    if target is None:
        return _refuse(
            Reason.TOKEN_MISSING,
            f"the Secret {resource.target_name} does not exist, and creationPolicy Merge does not "
            f'create it: create it with the annotation {ALLOW_MERGE}: "true"',
        )
    if not target.allows_merge:
        return _refuse(
            Reason.TARGET_NOT_OWNED,
            f"the Secret {resource.target_name} does not allow to be written into: give it the "
            f'annotation {ALLOW_MERGE}: "true"',
        )
    return None


def _refuse(reason: Reason, message: str) -> Decision:
    return Decision(Action.REST, str(reason), not_ready=Problem(reason, message))
