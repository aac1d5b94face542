"""The PineconeAccessToken as the operator reads it. No I/O."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pinecone_token_operator.api.common import (
    CONFIG,
    CredentialsSecretRef,
    Duration,
    Metadata,
    Target,
)
from pinecone_token_operator.api.group import Kind
from pinecone_token_operator.errors import ResourceInvalid
from pinecone_token_operator.keys import ObjectRef, SecretKey

KIND: Final = Kind("PineconeAccessToken", "pineconeaccesstokens")


@dataclass(config=CONFIG, frozen=True, slots=True)
class Spec:
    """What a user requests."""

    credentials_secret_ref: CredentialsSecretRef
    target: Target = Target()
    refresh_before: Duration = None
    suspend: bool = False


@dataclass(config=CONFIG, frozen=True, slots=True)
class PineconeAccessToken:
    """One resource."""

    metadata: Metadata
    spec: Spec
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def ref(self) -> ObjectRef:
        """Return how the resource is identified."""
        return ObjectRef(KIND.name, self.metadata.namespace, self.metadata.name)

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
    """Read an object as the API server sends it; unknown fields are ignored.

    Raises:
        ResourceInvalid: a field is missing or cannot be used; the message names each such field and
            what to do, and never what the field held.
    """
    try:
        return _RESOURCE.validate_python(dict(obj))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    # Raised out here, so that pydantic's error, which keeps the input, is not chained as context.
    raise ResourceInvalid(
        "; ".join(f"{_path(fault['loc'])} {_sentence(fault['msg'])}" for fault in faults)
        + f"; for the schema see kubectl explain {KIND.plural} --recursive"
    )


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location)


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return "is required" if message == "Field required" else message
