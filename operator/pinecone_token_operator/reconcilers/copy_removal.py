"""Removes copies of a token from namespaces that are not selected any more."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.backoff import retry_delay
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.kube.paths import SECRETS
from pinecone_token_operator.reconcilers.gather import CONCURRENT
from pinecone_token_operator.targets.target import Target, read_target

# Another writer may change a Secret between our read and our deletion.
_TRIES: Final = 4

logger = logging.getLogger(__name__)


class CopyRemoval:
    """Deletes Secrets that the operator created for a resource.

    Args:
        api: the API server; its write guard keeps a former leader from writing.
    """

    def __init__(self, api: Requests) -> None:
        self._api = api

    async def remove(
        self,
        key: SecretKey,
        uid: str,
        target: Target | None,
        is_unwanted: Callable[[], bool],
    ) -> None:
        """Delete a Secret if it carries the UID of the resource, exactly as it was seen.

        Args:
            key: the Secret.
            uid: the resource's UID.
            target: the Secret as it was seen last; None if it has to be read.
            is_unwanted: whether it still has to go.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        path = SECRETS.item(*key)
        error: ApiError | None = None
        for _ in range(_TRIES):
            try:
                if target is None or not target.resource_version:
                    target = read_target(await self._api.request("GET", path))
                if target.owner_uid != uid or not is_unwanted():
                    return
                await self._api.request("DELETE", path, body=_deletion(target))
            except ApiError as failure:
                if failure.not_found:
                    return
                if not failure.conflict:
                    raise
                target, error = None, failure
            else:
                logger.info("Removed the copy of the token in Secret %s", "/".join(key))
                return
        if error is not None:
            raise error


class Leaving:
    """The copies of one resource that have to go; what fails is retried, and holds nothing up.

    Args:
        removal: removes one.
        env: the clocks and random numbers.

    Attributes:
        unremoved: why a copy is still there.
        retry_at: when to try again; None if all are gone.
    """

    def __init__(self, removal: CopyRemoval, env: Env) -> None:
        self._removal = removal
        self._env = env
        self._copies: dict[SecretKey, Target | None] = {}
        self._failures = 0
        self.unremoved: dict[SecretKey, Problem] = {}
        self.retry_at: datetime | None = None

    def add(self, key: SecretKey, target: Target | None) -> None:
        """Note a copy that has to go, as it was seen last."""
        self._copies[key] = target

    async def remove_all(self, uid: str, is_unwanted: Callable[[SecretKey], bool]) -> None:
        """Remove all copies that are still unwanted.

        Args:
            uid: the resource's UID.
            is_unwanted: whether a copy still has to go.
        """
        waiting = iter(list(self._copies))

        async def remove() -> None:
            for key in waiting:
                await self._remove(key, uid, is_unwanted)

        if self._copies:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(CONCURRENT, len(self._copies))):
                    group.create_task(remove())
        if not self._copies:
            self._failures, self.retry_at = 0, None
            return
        self._failures += 1
        fraction = self._env.rng.random()
        self.retry_at = self._env.now() + retry_delay(self._failures, timedelta(days=1), fraction)

    async def _remove(
        self, key: SecretKey, uid: str, is_unwanted: Callable[[SecretKey], bool]
    ) -> None:
        try:
            await self._removal.remove(key, uid, self._copies[key], lambda: is_unwanted(key))
        except ApiError as error:
            problem = removal_problem(error, key)
            if self.unremoved.get(key) != problem:
                logger.warning("%s", problem.message)
            self.unremoved[key] = problem
            self._copies[key] = None  # it is read again
        else:
            del self._copies[key]
            self.unremoved.pop(key, None)


def removal_problem(error: ApiError, key: SecretKey) -> Problem:
    """Return why a copy is still there."""
    secret = "/".join(key)
    if error.forbidden:
        return Problem(
            Reason.ACCESS_DENIED,
            f"the operator's ServiceAccount lacks delete on secrets in namespace {key[0]}, so the "
            f"copy in Secret {secret} is still there; check its Role or ClusterRole",
        )
    return Problem(
        Reason.API_SERVER_ERROR,
        f"the API server failed to delete Secret {secret} ({error.brief}); retrying",
    )


def _deletion(target: Target) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": target.uid, "resourceVersion": target.resource_version},
    }
