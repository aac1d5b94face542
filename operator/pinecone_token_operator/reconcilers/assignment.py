"""What one resource of any kind requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from pinecone_token_operator.api.common import CredentialsSecretRef
from pinecone_token_operator.controller.reconciler import Resource
from pinecone_token_operator.keys import ObjectRef, SecretKey
from pinecone_token_operator.policies.input import Wanted
from pinecone_token_operator.targets.secret import TargetSpec

FindRival = Callable[[SecretKey, str | None], str | None]
"""Returns the name of another resource that owns a target, given the UID that is on it."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one resource of any kind requests.

    Attributes:
        ref: the resource.
        uid: its UID.
        wanted: the requested properties of its token.
        credentials_key: the credentials Secret.
        client_id_key: the key of the client id in it.
        client_secret_key: the key of the client secret in it.
        specs: where the token is to be stored.
        find_rival: which other resource owns a target.
        interrupted: whether writing many targets has to be left to the next reconcile, because
            something more urgent has come up.
    """

    ref: ObjectRef
    uid: str
    wanted: Wanted
    credentials_key: SecretKey
    client_id_key: str
    client_secret_key: str
    specs: Sequence[TargetSpec]
    find_rival: FindRival
    interrupted: Callable[[], bool] = lambda: False


class TokenSpec(Protocol):
    """What a resource of any kind says about its token."""

    @property
    def credentials_secret_ref(self) -> CredentialsSecretRef:
        """Where the credentials are."""
        ...

    @property
    def refresh_before(self) -> timedelta | None:
        """The margin before expiry; None means the default."""
        ...

    @property
    def suspend(self) -> bool:
        """Whether refreshing is suspended."""
        ...


class Requester(Resource, Protocol):
    """A resource that requests a token."""

    @property
    def spec(self) -> TokenSpec:
        """What it says about the token."""
        ...


def make_assignment(
    resource: Requester,
    specs: Sequence[TargetSpec],
    find_rival: FindRival,
    interrupted: Callable[[], bool] = lambda: False,
) -> Assignment:
    """Return what a resource requests, given where its token is to be stored."""
    metadata, spec = resource.metadata, resource.spec
    return Assignment(
        ref=resource.ref,
        uid=metadata.uid,
        wanted=Wanted(
            metadata.generation, spec.refresh_before, spec.suspend, metadata.refresh_request
        ),
        credentials_key=resource.credentials_key,
        client_id_key=spec.credentials_secret_ref.client_id_key,
        client_secret_key=spec.credentials_secret_ref.client_secret_key,
        specs=specs,
        find_rival=find_rival,
        interrupted=interrupted,
    )
