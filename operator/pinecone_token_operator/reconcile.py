"""One look at one resource: observe, decide, apply, and tell in its status.

The API server is asked for what may have changed and no more: a Secret whose resourceVersion is
the one that was read or written last is not read again. No secret data is kept, but for a token
that could not be written yet.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from pinecone_token_operator import schedule
from pinecone_token_operator.credentials import Credentials, fingerprint, read_credentials
from pinecone_token_operator.desired import desire, secret_patch, secret_to_create
from pinecone_token_operator.errors import (
    ApiError,
    CredentialsInvalid,
    ExchangeError,
    ExchangeFailure,
)
from pinecone_token_operator.index import Index, Key
from pinecone_token_operator.metrics import SUCCESS, Metrics
from pinecone_token_operator.models import GROUP, PLURAL, VERSION, PineconeAccessToken
from pinecone_token_operator.oauth import AccessToken
from pinecone_token_operator.policies import (
    Action,
    Attempts,
    Decision,
    Observed,
    Problem,
    decide,
    wake_at,
)
from pinecone_token_operator.reasons import Reason
from pinecone_token_operator.status import compute_status, status_patch
from pinecone_token_operator.target import (
    StoredToken,
    Target,
    TokenTimes,
    read_target,
    stored_token,
)

MERGE_PATCH: Final = "application/merge-patch+json"
_NOT_FOUND, _CONFLICT = 404, 409
# What trying again would not change: the request is at fault, or somebody forbids it.
_REFUSALS: Final = (400, 403, 413, 422)
# Somebody else wrote between our read and our write; it is read again, but not for ever.
_TRIES: Final = 4

_FAILURE_REASONS: Final = {
    ExchangeFailure.UNAVAILABLE: Reason.UNAVAILABLE,
    ExchangeFailure.THROTTLED: Reason.THROTTLED,
    ExchangeFailure.REJECTED: Reason.REJECTED,
    ExchangeFailure.INVALID: Reason.RESPONSE_INVALID,
}

logger = logging.getLogger(__name__)


class Api(Protocol):
    """What is needed of `kube.Api`."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Return the reply's object, or raise `ApiError`."""
        ...


class Exchanger(Protocol):
    """What is needed of `token_client.TokenClient`."""

    async def exchange(self, credentials: Credentials) -> AccessToken:
        """Return a token, or raise `ExchangeError`."""
        ...


class Secrets(Protocol):
    """What is needed of `secret_watch.SecretWatch`."""

    def resource_version(self, key: Key) -> str | None:
        """Return a Secret's resourceVersion as last seen."""
        ...

    def note(self, key: Key, uid: str, resource_version: str) -> None:
        """Remember what was just read or written."""
        ...


@dataclass(slots=True)
class Memory:
    """What is known of one resource beside the resource itself; losing it costs reads only."""

    status: Mapping[str, Any]
    generation: int = -1  # of the spec that the target was last compared with
    target: Target | None = None
    times: TokenTimes | None = None
    credentials_version: str | None = None
    credentials: str | None = None
    in_hand: StoredToken | None = None
    attempts: Attempts = field(default_factory=Attempts)


class Reconciler:
    """Brings resources to what they ask for, one call each.

    Args:
        api: the API server.
        exchanger: the token endpoint.
        secrets: knows which Secrets changed, by namespace of the resource.
        index: the resources.
        metrics: counts.
        now: the clock; aware times in UTC.
        rng: spreads plans and retries.
        audience: the tokens' audience, part of the fingerprint.
        token_url: the token endpoint's address, part of the fingerprint.
    """

    def __init__(
        self,
        api: Api,
        exchanger: Exchanger,
        secrets: Callable[[str], Secrets],
        index: Index,
        metrics: Metrics,
        now: Callable[[], datetime],
        rng: random.Random,
        audience: str,
        token_url: str,
    ) -> None:
        self._api = api
        self._exchanger = exchanger
        self._secrets = secrets
        self._index = index
        self._metrics = metrics
        self._now = now
        self._rng = rng
        self._audience = audience
        self._token_url = token_url
        self._memories: dict[tuple[Key, str], Memory] = {}
        self._throttled: dict[str, datetime] = {}

    async def reconcile(self, key: Key) -> datetime | None:
        """Bring one resource to what it asks for; return when time alone asks for another look.

        Raises:
            ApiError: the API server refused or did not answer; look again later.
        """
        resource = self._index.get(key)
        if resource is None:
            return None
        memory = self._memory(resource)
        for tries_left in reversed(range(_TRIES)):
            observed, credentials = await self._observe(resource, memory)
            decision = decide(observed, self._now())
            try:
                observed = await self._apply(observed, decision, credentials, memory)
                break
            except ApiError as error:
                if error.http_status not in (_CONFLICT, _NOT_FOUND) or not tries_left:
                    raise
        # Whatever is still to be done needs the data, which is read again then and not kept.
        settled = observed.times and not observed.attempts.problem and not decision.not_refreshed
        memory.target = observed.target.without_data() if settled and observed.target else None
        await self._tell(observed, decision, memory)
        return wake_at(observed, decision, self._now())

    def forget(self, resource: PineconeAccessToken) -> None:
        """Drop what is known of a resource that is gone."""
        self._memories.pop((resource.key, resource.metadata.uid), None)
        self._metrics.forget(resource.key)

    def status_seen(self, resource: PineconeAccessToken) -> None:
        """Take over the status that the API server holds, should somebody have changed it."""
        self._memory(resource).status = resource.status

    def expires_at(self, resource: PineconeAccessToken) -> datetime | None:
        """Return when the resource's token expires, as far as known without asking."""
        memory = self._memories.get((resource.key, resource.metadata.uid))
        return memory.times.expires_at if memory and memory.times else None

    def _memory(self, resource: PineconeAccessToken) -> Memory:
        # By UID, so that nothing of a resource is taken for another of the same name.
        identity = resource.key, resource.metadata.uid
        if identity not in self._memories:
            failures = resource.status.get("failedAttempts") or 0
            problem = _problem_told(resource.status) if failures else None
            attempts = Attempts(failures, None, problem)
            self._memories[identity] = Memory(resource.status, attempts=attempts)
        return self._memories[identity]

    # Observe

    async def _observe(
        self, resource: PineconeAccessToken, memory: Memory
    ) -> tuple[Observed, Credentials | None]:
        """Look at everything that matters; also return the credentials if they were read."""
        if memory.generation != resource.metadata.generation:
            memory.generation = resource.metadata.generation
            memory.target = memory.credentials = None
        if conflict := self._index.older_claimant(resource):
            return self._observed(resource, memory, conflict, "", None), None
        (stored, (found, credentials)) = await asyncio.gather(
            self._observe_target(resource, memory), self._observe_credentials(resource, memory)
        )
        return self._observed(resource, memory, None, found, stored), credentials

    def _observed(
        self,
        resource: PineconeAccessToken,
        memory: Memory,
        conflict: str | None,
        credentials: str | Problem,
        stored: StoredToken | None,
    ) -> Observed:
        return Observed(
            resource=resource,
            conflict=conflict,
            target=memory.target,
            stored=stored,
            times=memory.times,
            credentials=credentials,
            in_hand=memory.in_hand,
            attempts=memory.attempts,
            fraction=self._rng.random(),
        )

    async def _observe_target(
        self, resource: PineconeAccessToken, memory: Memory
    ) -> StoredToken | None:
        namespace, name = resource.target_key
        version = self._secrets(namespace).resource_version(resource.target_key)
        if memory.target is not None and memory.target.resource_version == version:
            return None
        memory.target = memory.times = None
        secret = await self._read_secret(namespace, name)
        if secret is None:
            return None
        memory.target = read_target(secret)
        stored = stored_token(memory.target, resource.metadata.uid)
        memory.times = _times(stored) if stored else None
        return stored

    async def _observe_credentials(
        self, resource: PineconeAccessToken, memory: Memory
    ) -> tuple[str | Problem, Credentials | None]:
        namespace, _ = resource.credentials_key
        version = self._secrets(namespace).resource_version(resource.credentials_key)
        if memory.credentials is not None and memory.credentials_version == version:
            return memory.credentials, None
        credentials = await self._read_credentials(resource, memory)
        if isinstance(credentials, Problem):
            return credentials, None
        return memory.credentials or "", credentials

    async def _read_credentials(
        self, resource: PineconeAccessToken, memory: Memory
    ) -> Credentials | Problem:
        """Read the credentials and remember their fingerprint."""
        namespace, name = resource.credentials_key
        memory.credentials = memory.credentials_version = None
        secret = await self._read_secret(namespace, name)
        if secret is None:
            return Problem(
                Reason.CREDENTIALS_NOT_FOUND,
                f"the Secret {name} does not exist: create it with the service account's client id "
                f"and client secret",
            )
        reference = resource.spec.credentials_secret_ref
        try:
            credentials = read_credentials(
                secret.get("data") or {}, reference.client_id_key, reference.client_secret_key
            )
        except CredentialsInvalid as error:
            return Problem(Reason.CREDENTIALS_INVALID, f"Secret {name}: {error}")
        memory.credentials_version = secret["metadata"]["resourceVersion"]
        memory.credentials = fingerprint(
            credentials, resource.metadata.uid, self._audience, self._token_url
        )
        return credentials

    async def _read_secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            secret = await self._api.request("GET", _secret_path(namespace, name))
        except ApiError as error:
            if error.http_status == _NOT_FOUND:
                return None
            raise
        self._note((namespace, name), secret)
        return secret

    def _note(self, key: Key, secret: Mapping[str, Any]) -> None:
        metadata = secret["metadata"]
        self._secrets(key[0]).note(key, metadata["uid"], metadata["resourceVersion"])

    # Apply

    async def _apply(
        self,
        observed: Observed,
        decision: Decision,
        credentials: Credentials | None,
        memory: Memory,
    ) -> Observed:
        """Do what was decided; return what is true afterwards."""
        resource = observed.resource
        if decision.action is Action.EXCHANGE:
            logger.info("Fetching a token: %s", decision.why, extra={"resource": resource.key})
            if decision.planned_at is not None:
                late = self._now() - decision.planned_at
                self._metrics.lateness(late.total_seconds())
            token = await self._fetch(observed, credentials, memory)
            if token is not None:
                memory.in_hand = token
                await self._write(resource, token, memory)
        elif decision.action is Action.WRITE and decision.token is not None:
            logger.info("Writing the target: %s", decision.why, extra={"resource": resource.key})
            await self._write(resource, decision.token, memory)
        return replace(
            observed,
            target=memory.target,
            times=memory.times,
            in_hand=memory.in_hand,
            attempts=memory.attempts,
            credentials=memory.credentials or observed.credentials,
        )

    async def _fetch(
        self, observed: Observed, credentials: Credentials | None, memory: Memory
    ) -> StoredToken | None:
        """Exchange the credentials; None if that failed, which is then noted."""
        resource = observed.resource
        if credentials is None:
            read = await self._read_credentials(resource, memory)
            if isinstance(read, Problem):
                self._failed(observed, memory, read, self._now() + timedelta(seconds=1))
                return None
            credentials = read
        until = self._throttled.get(credentials.client_id)
        if until is not None and until > self._now():
            wait = schedule.back_off_throttled(until - self._now(), self._rng.random())
            problem = Problem(
                Reason.THROTTLED, "the token endpoint asked for fewer requests with this client id"
            )
            memory.attempts = replace(
                memory.attempts,
                retry_at=self._now() + wait,
                problem=problem,
                basis=self._basis(observed, memory),
            )
            return None
        started = asyncio.get_running_loop().time()
        try:
            token = await self._exchanger.exchange(credentials)
        except ExchangeError as error:
            self._metrics.exchange(error.failure, asyncio.get_running_loop().time() - started)
            self._exchange_failed(observed, memory, error, credentials)
            return None
        self._metrics.exchange(SUCCESS, asyncio.get_running_loop().time() - started)
        self._throttled.pop(credentials.client_id, None)
        return StoredToken(
            access_token=token.access_token,
            token_type=token.token_type,
            refreshed_at=token.requested_at,
            expires_at=token.expires_at,
            refresh_at=schedule.refresh_at(
                token.requested_at,
                token.expires_at,
                resource.spec.refresh_before,
                self._rng.random(),
            ),
            credentials=memory.credentials or "",
        )

    async def _write(
        self, resource: PineconeAccessToken, token: StoredToken, memory: Memory
    ) -> None:
        """Write a token into the target; a refusal is noted, and the token stays in hand."""
        desired = desire(resource, token)
        namespace, name = resource.target_key
        target = memory.target
        try:
            if target is None:
                body = secret_to_create(resource, desired)
                secret = await self._api.request("POST", _secret_path(namespace), body=body)
            else:
                patch = secret_patch(target, desired, resource.metadata.uid)
                secret = await self._api.request(
                    "PATCH", _secret_path(namespace, name), body=patch, content_type=MERGE_PATCH
                )
        except ApiError as error:
            if error.http_status in _REFUSALS:
                self._write_refused(resource, memory, error)
                return
            memory.target = None
            raise
        self._note(resource.target_key, secret)
        memory.target = read_target(secret).without_data()
        memory.times = _times(token)
        memory.in_hand = None
        memory.attempts = Attempts()

    def _exchange_failed(
        self, observed: Observed, memory: Memory, error: ExchangeError, credentials: Credentials
    ) -> None:
        failures, fraction = memory.attempts.failures + 1, self._rng.random()
        now = self._now()
        life_left = observed.times.expires_at - now if observed.times else timedelta()
        message = str(error)
        if error.retry_after is not None:
            self._throttled[credentials.client_id] = now + error.retry_after
            wait = schedule.back_off_throttled(error.retry_after, fraction)
        elif error.failure is ExchangeFailure.REJECTED:
            wait = schedule.back_off_rejected(failures, life_left, fraction)
            message += (
                f": check the client id and the client secret in the Secret "
                f"{observed.resource.spec.credentials_secret_ref.name}"
            )
        else:
            wait = schedule.back_off(failures, life_left, fraction)
        problem = Problem(_FAILURE_REASONS[error.failure], message)
        self._failed(observed, memory, problem, now + wait)

    def _write_refused(
        self, resource: PineconeAccessToken, memory: Memory, error: ApiError
    ) -> None:
        # Not the API server's message: an admission policy may quote the object in it.
        message = (
            f"the API server refused to write the Secret {resource.target_name} "
            f"({error.http_status} {error.reason}): "
        )
        if memory.target is not None and memory.target.immutable:
            message += "it is immutable; delete it, and it is made anew"
        else:
            message += "see whether a quota or an admission policy forbids it"
        observed = self._observed(resource, memory, None, memory.credentials or "", None)
        failures = memory.attempts.failures + 1
        life_left = memory.times.expires_at - self._now() if memory.times else timedelta()
        wait = schedule.back_off(failures, life_left, self._rng.random())
        problem = Problem(Reason.TARGET_NOT_WRITABLE, message)
        self._failed(observed, memory, problem, self._now() + wait)

    def _failed(
        self, observed: Observed, memory: Memory, problem: Problem, retry_at: datetime
    ) -> None:
        memory.attempts = Attempts(
            memory.attempts.failures + 1, retry_at, problem, self._basis(observed, memory)
        )
        logger.warning("%s", problem.message, extra={"resource": observed.resource.key})

    @staticmethod
    def _basis(observed: Observed, memory: Memory) -> object:
        # The credentials may have been read again since the observation.
        return replace(observed, credentials=memory.credentials or observed.credentials).basis

    # Tell

    async def _tell(self, observed: Observed, decision: Decision, memory: Memory) -> None:
        resource = observed.resource
        times = None if decision.not_ready else observed.times
        self._metrics.token(
            resource.key,
            times.expires_at if times else None,
            times.refresh_at if times else None,
            times.refreshed_at if times else None,
        )
        status = compute_status(observed, decision, memory.status, self._now())
        patch = status_patch(status, memory.status)
        if patch is None:
            return
        namespace, name = resource.key
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}/status"
        # The UID keeps it from a resource of the same name that was created meanwhile.
        body = {"metadata": {"uid": resource.metadata.uid}, **patch}
        try:
            await self._api.request("PATCH", path, body=body, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.http_status not in (_NOT_FOUND, _CONFLICT):
                raise
            return  # it is gone, and its event is on the way
        memory.status = status


def _problem_told(status: Mapping[str, Any]) -> Problem | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Refreshed" and condition.get("status") == "False":
            try:
                return Problem(Reason(condition["reason"]), condition["message"])
            except (KeyError, ValueError):
                return None
    return None


def _times(token: StoredToken) -> TokenTimes:
    return TokenTimes(token.refreshed_at, token.expires_at, token.refresh_at, token.credentials)


def _secret_path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")
