"""Reads what a decision depends on, and no more than may have changed."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.controller.index import Index, Key
from pinecone_token_operator.errors import ApiError, CredentialsInvalid
from pinecone_token_operator.issuing.credentials import Credentials, fingerprint, read_credentials
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.policies.observed import Observed, Problem
from pinecone_token_operator.reconcilers.state import Memory
from pinecone_token_operator.targets.target import StoredToken, read_target, stored_token, times_of

_NOT_FOUND: Final = 404


class Secrets(Protocol):
    """What is needed of `secrets_metadata.SecretReflector`."""

    def resource_version(self, key: Key) -> str | None:
        """Return a Secret's resourceVersion as last seen."""
        ...

    def note(self, key: Key, uid: str, resource_version: str) -> None:
        """Remember what was just read or written."""
        ...


class Observer:
    """Looks at resources.

    A Secret whose resourceVersion is the one that was read or written last is not read again.

    Args:
        api: the API server.
        secrets: knows which Secrets changed, by namespace.
        index: the resources.
        rng: gives each observation its random number.
        audience: the tokens' audience, part of the fingerprint.
        token_url: the token endpoint's address, part of the fingerprint.
    """

    def __init__(
        self,
        api: Requests,
        secrets: Callable[[str], Secrets],
        index: Index,
        rng: random.Random,
        audience: str,
        token_url: str,
    ) -> None:
        self._api = api
        self._secrets = secrets
        self._index = index
        self._rng = rng
        self._audience = audience
        self._token_url = token_url

    async def observe(
        self, resource: PineconeAccessToken, memory: Memory
    ) -> tuple[Observed, Credentials | None]:
        """Look at everything that matters; also return the credentials if they were read.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        if memory.generation != resource.metadata.generation:
            memory.generation = resource.metadata.generation
            memory.target = memory.credentials = None
        conflict = self._index.older_claimant(resource)
        stored: StoredToken | None = None
        found: str | Problem = ""
        credentials: Credentials | None = None
        if conflict is None:
            stored, (found, credentials) = await asyncio.gather(
                self._target(resource, memory), self._credentials(resource, memory)
            )
        observed = Observed(
            resource=resource,
            conflict=conflict,
            target=memory.target,
            stored=stored,
            times=memory.times,
            credentials=found,
            in_hand=memory.in_hand,
            attempts=memory.attempts,
            fraction=self._rng.random(),
            kept=memory.kept,
        )
        return observed, credentials

    def has_seen(self, resource: PineconeAccessToken, memory: Memory, secret: Key) -> bool:
        """Return whether the latest look was at a Secret as it is now."""
        now = self._secrets(secret[0]).resource_version(secret)
        seen = set()
        if secret == resource.target_key:
            seen.add(memory.target.resource_version if memory.target else None)
        if secret == resource.credentials_key:
            seen.add(memory.credentials_version if memory.credentials else None)
        return now is not None and seen == {now}

    async def read_credentials(
        self, resource: PineconeAccessToken, memory: Memory
    ) -> Credentials | Problem:
        """Read the credentials and remember their fingerprint.

        Raises:
            ApiError: the API server refused or did not answer.
        """
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

    def note(self, key: Key, secret: Mapping[str, Any]) -> None:
        """Remember a Secret that was just read or written, so that its event is no news."""
        metadata = secret["metadata"]
        self._secrets(key[0]).note(key, metadata["uid"], metadata["resourceVersion"])

    async def _target(self, resource: PineconeAccessToken, memory: Memory) -> StoredToken | None:
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
        memory.times = times_of(stored) if stored else None
        memory.had_target = stored is not None
        return stored

    async def _credentials(
        self, resource: PineconeAccessToken, memory: Memory
    ) -> tuple[str | Problem, Credentials | None]:
        namespace, _ = resource.credentials_key
        version = self._secrets(namespace).resource_version(resource.credentials_key)
        if memory.credentials is not None and memory.credentials_version == version:
            return memory.credentials, None
        credentials = await self.read_credentials(resource, memory)
        if isinstance(credentials, Problem):
            return credentials, None
        return memory.credentials or "", credentials

    async def _read_secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            secret = await self._api.request("GET", secret_path(namespace, name))
        except ApiError as error:
            if error.http_status == _NOT_FOUND:
                return None
            raise
        self.note((namespace, name), secret)
        return secret


def secret_path(namespace: str, name: str = "") -> str:
    """Return the API's path of a Secret; without a name, of all in the namespace."""
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")
