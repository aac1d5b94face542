"""Whose a target is: checks that refuse to touch what this resource does not manage. No I/O.

Each returns a problem, or None if it has nothing against the target.
"""

from collections.abc import Callable
from typing import Final, Protocol

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.kube import secret_types
from pinecone_token_operator.targets import names
from pinecone_token_operator.targets.names import ALLOW_MERGE
from pinecone_token_operator.targets.secret import TargetSpec, overwritten
from pinecone_token_operator.targets.target import Owner, Target


class Claim(Protocol):
    """What a resource wants of a target, and what is there; `TargetInput` describes each."""

    @property
    def spec(self) -> TargetSpec: ...  # noqa: D102 - as above

    @property
    def target(self) -> Target | None: ...  # noqa: D102

    @property
    def rival(self) -> str | None: ...  # noqa: D102

    @property
    def unreadable(self) -> Problem | None: ...  # noqa: D102


def find_obstacle(given: Claim) -> Problem | None:
    """Return why the target must not be written; None if it may be."""
    for check in _MERGE_CHECKS if given.spec.merges else _OWNER_CHECKS:
        problem = check(given)
        if problem is not None:
            return problem
    return None


def is_owned_by(target: Target, owner: Owner) -> bool:
    """Return whether the operator created a Secret for this resource.

    An owner reference, an annotation or a label says so. What a deleted resource of the same name
    left behind is taken over, unless it has another owner by now or was only merged into: the
    garbage collector, which may be about to delete it, checks its owners again before it does.
    """
    if target.is_copy:
        return False
    if any(reference.get("uid") == owner.uid for reference in target.owner_references):
        return True
    others = [each for each in target.owner_references if not owner.was(each)]
    if others or target.is_merged:
        return False
    return (
        owner.uid in (target.labels.get(names.RESOURCE_UID), target.owner_uid)
        or target.annotations.get(names.RESOURCE) == owner.name
        or bool(target.owner_references)
    )


def _owned_by_a_rival(given: Claim) -> Problem | None:
    if given.rival is None:
        return None
    return Problem(
        Reason.TARGET_CONFLICT,
        f"{_secret(given)} is also the target of {given.rival}, which owns it; "
        "delete one of the two resources",
    )


def _not_ours(given: Claim) -> Problem | None:
    if given.target is None or is_owned_by(given.target, given.spec.owner):
        return None
    if given.target.is_copy:
        what = "is a copy of another target"
    else:
        what = "exists and is not managed by this resource"
    return Problem(
        Reason.TARGET_NOT_OWNED,
        f"{_secret(given)} {what}, so it is left untouched; "
        "delete it, or recreate this resource with another spec.target.name",
    )


def _nothing_to_merge_into(given: Claim) -> Problem | None:
    if given.target is not None or given.unreadable is not None:
        return None
    return Problem(
        Reason.TOKEN_MISSING,
        f"{_secret(given)} does not exist, and creationPolicy Merge does not create it; "
        f'create it with the annotation {ALLOW_MERGE}: "true"',
    )


def _merge_not_allowed(given: Claim) -> Problem | None:
    if given.target is None or given.target.allows_merge:
        return None
    return Problem(
        Reason.TARGET_NOT_OWNED,
        f'{_secret(given)} does not allow a merge; set its annotation {ALLOW_MERGE} to "true"',
    )


def _merge_would_overwrite(given: Claim) -> Problem | None:
    target = given.target
    if target is None:
        return None
    found = overwritten(target, given.spec)
    if not found:
        return None
    return Problem(
        Reason.TARGET_CONFLICT,
        f"a merge into {_secret(given)} would overwrite {', '.join(found)}; "
        "remove it from the Secret or from spec.target.template",
    )


def _unwatched(given: Claim) -> Problem | None:
    kind = given.target.type if given.target else given.spec.template.type
    if kind not in secret_types.UNWATCHED:
        return None
    return Problem(
        Reason.TARGET_NOT_OWNED,
        f"{_secret(given)} is of type {kind}, which is not watched, so it is left untouched; "
        "use a Secret of another type, such as Opaque",
    )


_Check = Callable[[Claim], Problem | None]

_OWNER_CHECKS: Final[tuple[_Check, ...]] = (
    _owned_by_a_rival,
    _not_ours,
    _unwatched,
)
_MERGE_CHECKS: Final[tuple[_Check, ...]] = (
    _owned_by_a_rival,
    _nothing_to_merge_into,
    _merge_not_allowed,
    _unwatched,
    _merge_would_overwrite,
)


def _secret(given: Claim) -> str:
    return f"Secret {'/'.join(given.spec.key)}"
