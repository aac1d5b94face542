"""The PineconeAccessToken as the operator reads it. No I/O."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from pinecone_token_operator.api.common import (
    CONFIG,
    NO_TARGET,
    CredentialsSecretRef,
    Duration,
    Metadata,
    Target,
    reusing,
)
from pinecone_token_operator.api.group import ACCESS_TOKEN
from pinecone_token_operator.api.parsing import parse
from pinecone_token_operator.api.stored_status import StatusField, StoredStatus
from pinecone_token_operator.keys import ObjectRef, SecretKey

KIND: Final = ACCESS_TOKEN


@dataclass(config=CONFIG, frozen=True, slots=True)
class Spec:
    """What a user requests."""

    credentials_secret_ref: CredentialsSecretRef
    target: Annotated[Target, reusing(NO_TARGET)] = Field(default_factory=lambda: NO_TARGET)
    refresh_before: Duration = None
    suspend: bool = False


@dataclass(config=CONFIG, frozen=True, slots=True)
class PineconeAccessToken:
    """One resource.

    Attributes:
        ref: how it is identified.
    """

    metadata: Metadata
    spec: Spec
    stored_status: StatusField = Field(default_factory=lambda: StoredStatus({}), alias="status")
    ref: ObjectRef = field(init=False)

    def __post_init__(self) -> None:
        """Identify it once, so that all who keep the reference share it."""
        ref = ObjectRef(KIND.name, self.metadata.namespace, self.metadata.name)
        object.__setattr__(self, "ref", ref)

    @property
    def status(self) -> Mapping[str, Any]:
        """Return the status that the API server has."""
        return self.stored_status.read()

    @property
    def target_name(self) -> str:
        """Return the target Secret's name: the resource's own unless another is set."""
        return self.spec.target.name or self.metadata.name

    @property
    def target_key(self) -> SecretKey:
        """Return the target Secret's key."""
        return self.metadata.namespace, self.target_name

    @property
    def target_keys(self) -> tuple[SecretKey, ...]:
        """Return the keys of all targets."""
        return (self.target_key,)

    @property
    def credentials_key(self) -> SecretKey:
        """Return the credentials Secret's key."""
        return self.metadata.namespace, self.spec.credentials_secret_ref.name


_RESOURCE: Final = TypeAdapter(PineconeAccessToken)


def parse_resource(obj: Mapping[str, Any]) -> PineconeAccessToken:
    """Read an object as the API server sends it; see `parse`."""
    return parse(_RESOURCE, obj, KIND)
