"""Reads what a decision depends on, and no more than may have changed."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError, CredentialsInvalid
from pinecone_token_operator.issuing.credentials import Credentials, fingerprint, read_credentials
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.kube.paths import SECRETS
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.state import Known, KnownTarget
from pinecone_token_operator.targets.secret_store import Versions
from pinecone_token_operator.targets.store import TargetStore
from pinecone_token_operator.targets.stored_token import StoredToken
from pinecone_token_operator.targets.target import Target, stored_token


@dataclass(frozen=True, slots=True)
class Audience:
    """What a fingerprint covers besides the credentials.

    Attributes:
        audience: the tokens' audience.
        token_url: the token endpoint's address.
    """

    audience: str
    token_url: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a read of the credentials found.

    Attributes:
        known: the same knowledge with what was found.
        credentials: the credentials; None if they are unusable or were not read.
        error: why the read failed, if it did.
    """

    known: Known
    credentials: Credentials | None = None
    error: ApiError | None = None


class Gatherer:
    """Reads credentials and targets.

    A Secret whose resourceVersion is the one that was read or written last is not read again.

    Args:
        api: the API server.
        store: where tokens are stored.
        versions: the versions of credentials Secrets.
        audience: what a fingerprint covers besides the credentials.
        env: the clocks.
    """

    def __init__(
        self,
        *,
        api: Requests,
        store: TargetStore,
        versions: Versions,
        audience: Audience,
        env: Env,
    ) -> None:
        self._api = api
        self._store = store
        self._versions = versions
        self._audience = audience
        self._env = env

    async def gather(self, assignment: Assignment, known: Known) -> Reading:
        """Return the knowledge of a resource as of now.

        What cannot be read is in it as a problem; `error` is one of those, if there are any.
        """
        if known.generation != assignment.wanted.generation:
            targets = {key: replace(one, target=None) for key, one in known.targets.items()}
            known = replace(
                known,
                generation=assignment.wanted.generation,
                credentials_version=None,
                targets=targets,
            )
        stale = [spec.key for spec in assignment.specs if self._is_stale(known, spec.key)]
        reading = Reading(known)
        if stale:
            reading = await self._read_targets(assignment, known, stale)
        if self._has_current_credentials(assignment, known):
            return reading
        read = await self.read_credentials(assignment, reading.known)
        return replace(read, error=reading.error or read.error)

    async def read_credentials(self, assignment: Assignment, known: Known) -> Reading:
        """Read the credentials."""
        namespace, name = key = assignment.credentials_key
        error, version, credentials = None, None, None
        found: str | Problem
        try:
            secret = await self._api.request("GET", SECRETS.item(namespace, name))
            metadata = secret["metadata"]
            self._versions.note(
                key, metadata["uid"], metadata["resourceVersion"], by=assignment.ref
            )
            credentials = read_credentials(
                secret.get("data") or {}, assignment.client_id_key, assignment.client_secret_key
            )
        except ApiError as failure:
            if failure.not_found:
                found = Problem(
                    Reason.CREDENTIALS_NOT_FOUND,
                    f"Secret {namespace}/{name} does not exist; create it with the service "
                    "account's client id and client secret",
                )
            else:
                error, found = failure, read_problem(failure, key)
        except CredentialsInvalid as invalid:
            found = Problem(Reason.CREDENTIALS_INVALID, f"Secret {namespace}/{name}: {invalid}")
        else:
            version = metadata["resourceVersion"]
            found = fingerprint(
                credentials, assignment.uid, self._audience.audience, self._audience.token_url
            )
        unusable_since = None
        if isinstance(found, Problem):
            unusable_since = known.unusable_since or self._env.now()
        known = replace(
            known,
            credentials=found,
            credentials_version=version,
            unusable_since=unusable_since,
        )
        return Reading(known, credentials, error)

    def _is_stale(self, known: Known, key: SecretKey) -> bool:
        target = known.targets.get(key, KnownTarget()).target
        return target is None or not self._store.is_current(target)

    def _has_current_credentials(self, assignment: Assignment, known: Known) -> bool:
        version = known.credentials_version
        current = self._versions.resource_version(assignment.credentials_key)
        return version is not None and version == current

    async def _read_targets(
        self, assignment: Assignment, known: Known, keys: list[SecretKey]
    ) -> Reading:
        async def read(key: SecretKey) -> Target | ApiError | None:
            try:
                return await self._store.read(key, assignment.ref)
            except ApiError as error:
                return error

        found = await _all([read(key) for key in keys])
        error = None
        for key, target in zip(keys, found, strict=True):
            before = known.targets.get(key, KnownTarget())
            if isinstance(target, ApiError):
                error = target
                after = replace(before, target=None, unreadable=read_problem(target, key))
            else:
                after = _with_read(before, target, assignment.uid, known)
            known = known.with_target(key, after)
        return Reading(known, error=error)


def read_problem(error: ApiError, key: SecretKey) -> Problem:
    """Return what a failed read of a Secret means."""
    secret = "/".join(key)
    if error.forbidden:
        return Problem(
            Reason.ACCESS_DENIED,
            f"the operator's ServiceAccount lacks get on secrets in namespace {key[0]}; check its "
            "Role or ClusterRole and their bindings",
        )
    status = f"{error.http_status} {error.reason}" if error.http_status else error.reason
    return Problem(
        Reason.API_SERVER_ERROR,
        f"the API server failed to return Secret {secret} ({status}); retrying",
    )


def _with_read(before: KnownTarget, target: Target | None, uid: str, known: Known) -> KnownTarget:
    stored = None
    if target is not None:
        # Annotations may be refused by a policy: a token in memory proves what is stored, too.
        in_memory = (one for one in (known.pending, known.cached) if one and _holds(target, one))
        stored = stored_token(target, uid) or next(in_memory, None)
    return replace(
        before,
        target=target,
        stored=stored,
        times=stored.times if stored else None,
        had_token=before.had_token or stored is not None,
        unreadable=None,
    )


def _holds(target: Target, token: StoredToken) -> bool:
    return not target.is_copy and target.access_token == token.access_token


async def _all(reads: list[Coroutine[Any, Any, Target | ApiError | None]]) -> list[Any]:
    """Await all; a task group costs more than a single read."""
    if len(reads) == 1:
        return [await reads[0]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read) for read in reads]
    return [task.result() for task in tasks]
