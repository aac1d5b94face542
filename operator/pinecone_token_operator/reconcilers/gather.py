"""Reads what a decision depends on, and no more than may have changed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError, CredentialsInvalid
from pinecone_token_operator.issuing.credentials import (
    Credentials,
    fingerprint,
    fingerprint_source,
    read_credentials,
)
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.kube import secret_types
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.kube.paths import SECRETS
from pinecone_token_operator.reconcilers.assignment import Assignment
from pinecone_token_operator.reconcilers.known_target import UNREAD, KnownTarget
from pinecone_token_operator.reconcilers.state import Known
from pinecone_token_operator.targets.secret_store import Versions
from pinecone_token_operator.targets.store import TargetStore
from pinecone_token_operator.targets.stored_token import StoredToken
from pinecone_token_operator.targets.target import Target, last_writer, stored_token

# Requests at a time for the targets of one resource.
CONCURRENT: Final = 16


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
        source: what `fingerprint_source` says of their fingerprint; empty without credentials.
        error: why the credentials could not be read, if they could not.
        failed: the targets that could not be read, and why.
    """

    known: Known
    credentials: Credentials | None = None
    source: str = ""
    error: ApiError | None = None
    failed: Mapping[SecretKey, ApiError] = field(default_factory=dict)


class Gatherer:
    """Reads credentials and targets.

    A Secret whose resourceVersion is the one that was read or written last is not read again. Nor
    are credentials of which a target says that its token was issued for that very version.

    Args:
        api: the API server.
        store: where tokens are stored.
        versions: the versions of Secrets, as the watch reports them.
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

        What cannot be read is in it as a problem.
        """
        if known.generation != assignment.wanted.generation:
            targets = {
                key: replace(one, target=None, read_at=None) for key, one in known.targets.items()
            }
            known = replace(
                known,
                generation=assignment.wanted.generation,
                credentials_version=None,
                targets=targets,
            )
        now = self._env.now()
        stale = [spec.key for spec in assignment.specs if self._is_stale(known, spec.key, now)]
        reading = Reading(known)
        if stale:
            reading = await self._read_targets(assignment, known, stale)
        if not self._has_current_credentials(assignment, known):
            noted = self._with_noted_credentials(assignment, reading.known)
            read = noted or await self.read_credentials(assignment, reading.known)
            reading = replace(read, failed=reading.failed)
        if len(assignment.specs) > 1 and reading.known.lagging(assignment, now):
            source = await self._find_source(assignment, reading.known)
            failed = {**reading.failed, **source.failed}
            reading = replace(reading, known=source.known, failed=failed)
        return reading

    async def _find_source(self, assignment: Assignment, known: Known) -> Reading:
        """Return the newest token, as pending, for the targets that lack it; see `Known.lagging`.

        It is read from a target that holds it, if it is not in memory.
        """
        times = known.times
        if known.cached and known.cached.times == times:
            return Reading(replace(known, pending=known.cached))
        failed: dict[SecretKey, ApiError] = {}
        candidates = [key for key, one in known.targets.items() if one.times == times]
        for key in candidates:
            one = known.targets[key]
            if one.stored is None:
                reading = await self._read_targets(assignment, known, [key])
                known, one = reading.known, reading.known.targets[key]
                failed |= reading.failed
            if one.stored is not None and one.stored.times == times:
                return Reading(replace(known, pending=one.stored), failed=failed)
            if known.times != times:
                break
        return Reading(known, failed=failed)

    async def read_credentials(self, assignment: Assignment, known: Known) -> Reading:
        """Read the credentials."""
        namespace, name = key = assignment.credentials_key
        error, version, credentials, writer, source = None, None, None, "", ""
        found: str | Problem
        try:
            secret = await self._api.request("GET", SECRETS.item(namespace, name))
            metadata = secret["metadata"]
            self._versions.note(
                key, metadata["uid"], metadata["resourceVersion"], by=assignment.ref
            )
            writer = last_writer(metadata.get("managedFields") or ())
            credentials = _read(secret, assignment)
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
            source = self._source(assignment, found, metadata["uid"], version)
        unusable_since = None
        if isinstance(found, Problem):
            unusable_since = known.unusable_since or self._env.now()
        known = replace(
            known,
            credentials=found,
            credentials_version=version,
            credentials_writer=writer or known.credentials_writer,
            unusable_since=unusable_since,
        )
        return Reading(known, credentials, source, error)

    def _with_noted_credentials(self, assignment: Assignment, known: Known) -> Reading | None:
        """Return the knowledge with the fingerprint that a target has of the current credentials.

        None if no target has it, so that the credentials have to be read. Whoever may write the
        target may make this say anything, as the fingerprint itself: the next refresh, which always
        reads the credentials, corrects it.
        """
        identity, times = self._versions.identity(assignment.credentials_key), known.times
        # What could not be read or used is read again, however much time that takes.
        if identity is None or times is None or known.unusable_since is not None:
            return None
        source = self._source(assignment, times.credentials, *identity)
        if not any(
            one.times == times and one.target and one.target.credentials_source == source
            for one in known.targets.values()
        ):
            return None
        _, version = identity
        return Reading(replace(known, credentials=times.credentials, credentials_version=version))

    def _source(self, assignment: Assignment, found: str, uid: str, version: str) -> str:
        """Return what `fingerprint_source` says of a fingerprint of one version of a Secret."""
        return fingerprint_source(
            found,
            assignment.uid,
            (
                uid,
                version,
                assignment.client_id_key,
                assignment.client_secret_key,
                self._audience.audience,
                self._audience.token_url,
            ),
        )

    def _is_stale(self, known: Known, key: SecretKey, now: datetime) -> bool:
        one = known.targets.get(key, UNREAD)
        if one.read_at is not None:
            return one.read_at <= now
        version = self._versions.resource_version(key)
        if one.target is None:
            return not one.missing or version is not None
        return version != one.target.resource_version

    def _has_current_credentials(self, assignment: Assignment, known: Known) -> bool:
        version = known.credentials_version
        current = self._versions.resource_version(assignment.credentials_key)
        return version is not None and version == current

    async def _read_targets(
        self, assignment: Assignment, known: Known, keys: list[SecretKey]
    ) -> Reading:
        failed: dict[SecretKey, ApiError] = {}
        found: dict[SecretKey, KnownTarget] = {}
        several = len(assignment.specs) > 1
        waiting = iter(keys)

        async def read() -> None:
            for key in waiting:
                before = known.targets.get(key, UNREAD)
                try:
                    target = await self._store.read(key, assignment.ref)
                except ApiError as error:
                    failed[key] = error
                    unreadable = read_problem(error, key)
                    found[key] = replace(before, target=None, unreadable=unreadable)
                else:
                    after = _with_read(before, target, assignment.uid, known)
                    found[key] = replace(after, missing=several and target is None)

        if len(keys) == 1:  # a task group costs more than a single read
            await read()
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(CONCURRENT, len(keys))):
                    group.create_task(read())
        return Reading(known.with_targets(found), failed=failed)


def read_problem(error: ApiError, key: SecretKey) -> Problem:
    """Return what a failed read of a Secret means."""
    secret = "/".join(key)
    if error.forbidden:
        return Problem(
            Reason.ACCESS_DENIED,
            f"the operator's ServiceAccount lacks get on secrets in namespace {key[0]}; check its "
            "Role or ClusterRole and their bindings",
        )
    return Problem(
        Reason.API_SERVER_ERROR,
        f"the API server failed to return Secret {secret} ({error.brief}); retrying",
    )


def _read(secret: Mapping[str, Any], assignment: Assignment) -> Credentials:
    kind = secret.get("type")
    if kind in secret_types.UNWATCHED:
        raise CredentialsInvalid(
            f"its type is {kind}, which is not watched; use a Secret of type Opaque"
        )
    return read_credentials(
        secret.get("data") or {}, assignment.client_id_key, assignment.client_secret_key
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
        read_at=None,
    )


def _holds(target: Target, token: StoredToken) -> bool:
    return not target.is_copy and target.access_token == token.access_token
