"""Admission: policies and webhooks that change or refuse what is written to Secrets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.life.managed_fields import OPERATOR
from tests.life.paths import is_secret
from tests.life.refused import RefusedError
from tests.support.merge_patch import merge

WEBHOOK: Final = "w.example.com"


@dataclass(frozen=True, slots=True)
class Review:
    """A write that is about to be stored.

    Attributes:
        operation: CREATE or UPDATE.
        path: of the object.
        by: who writes.
        before: the object before; None for a CREATE.
        after: the object as it would be stored.
    """

    operation: str
    path: str
    by: str
    before: Mapping[str, Any] | None
    after: dict[str, Any]


Admission = Callable[[Review], dict[str, Any]]
"""Returns the object to store, or raises `RefusedError`."""


def mutating(patch: Mapping[str, Any]) -> Admission:
    """Return a policy that applies a merge patch to every Secret with a token."""

    def admit(review: Review) -> dict[str, Any]:
        if is_secret(review.path) and "access_token" in (review.after.get("data") or {}):
            changed: dict[str, Any] = merge(review.after, patch)
            return changed
        return review.after

    return admit


def refusing(
    status: int,
    reason: str,
    message: str,
    operations: tuple[str, ...] = ("CREATE", "UPDATE"),
    *,
    if_: Callable[[Review], bool] = lambda _: True,
) -> Admission:
    """Return a policy that refuses writes of Secrets.

    Args:
        status: the HTTP status.
        reason: of the status.
        message: for people.
        operations: the operations that it refuses.
        if_: selects what it refuses.
    """

    def admit(review: Review) -> dict[str, Any]:
        if is_secret(review.path) and review.operation in operations and if_(review):
            raise RefusedError(status, reason, message)
        return review.after

    return admit


def dead_webhook() -> Admission:
    """Return a webhook that does not answer and whose failurePolicy is Fail."""
    return refusing(
        500,
        "InternalError",
        f'Internal error occurred: failed calling webhook "{WEBHOOK}": failed to call webhook: '
        'Post "https://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused',
    )


def denying_webhook(status: int, *, quotes: bool = False) -> Admission:
    """Return a webhook that denies writes with a status, and may quote what it denies."""

    def admit(review: Review) -> dict[str, Any]:
        if is_secret(review.path):
            why = str(review.after.get("data")) if quotes else "no Secrets on Fridays"
            raise RefusedError(
                status, "", f'admission webhook "{WEBHOOK}" denied the request: {why}'
            )
        return review.after

    return admit


def guarded_owner_references(review: Review) -> dict[str, Any]:
    """Refuse the operator's changes of owner references, because it cannot delete Secrets.

    As the admission plugin OwnerReferencesPermissionEnforcement does; it allows an object to be
    created with owner references.
    """
    if review.before is None or review.by != OPERATOR or not is_secret(review.path):
        return review.after
    before, after = (
        obj["metadata"].get("ownerReferences", []) for obj in (review.before, review.after)
    )
    if before != after:
        raise RefusedError(
            403,
            "Forbidden",
            f'secrets "{review.after["metadata"]["name"]}" is forbidden: cannot set an ownerRef on '
            "a resource you can't delete: , <nil>",
        )
    return review.after
