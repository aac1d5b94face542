"""The ClusterPineconeAccessToken as the operator reads it. No I/O."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from pinecone_token_operator.api.common import (
    CONFIG,
    CredentialsSecretRef,
    Duration,
    Metadata,
    Template,
)
from pinecone_token_operator.api.group import CLUSTER_ACCESS_TOKEN
from pinecone_token_operator.api.label_selector import LabelSelector
from pinecone_token_operator.api.parsing import parse
from pinecone_token_operator.api.stored_status import StatusField, StoredStatus
from pinecone_token_operator.keys import ObjectRef, SecretKey

KIND: Final = CLUSTER_ACCESS_TOKEN


@dataclass(config=CONFIG, frozen=True, slots=True)
class ClusterTarget:
    """The Secret that the token is written to in each selected namespace.

    The operator always creates it, and deletes it with the resource.
    """

    name: str | None = None
    template: Template = Template()


@dataclass(config=CONFIG, frozen=True, slots=True)
class ClusterSpec:
    """What a cluster administrator requests."""

    credentials_secret_ref: CredentialsSecretRef
    namespace_selector: LabelSelector
    target: ClusterTarget = ClusterTarget()
    refresh_before: Duration = None
    suspend: bool = False


@dataclass(config=CONFIG, frozen=True, slots=True)
class _Parsed:
    metadata: Metadata
    spec: ClusterSpec
    stored_status: StatusField = Field(default_factory=lambda: StoredStatus({}), alias="status")


@dataclass(config=CONFIG, frozen=True, slots=True)
class ClusterPineconeAccessToken:
    """One resource.

    Attributes:
        credentials_namespace: the cluster resource namespace.
        ref: how it is identified.
    """

    metadata: Metadata
    spec: ClusterSpec
    credentials_namespace: str
    stored_status: StatusField = Field(default_factory=lambda: StoredStatus({}), alias="status")
    ref: ObjectRef = field(init=False)

    def __post_init__(self) -> None:
        """Identify it once, so that all who keep the reference share it."""
        object.__setattr__(self, "ref", ObjectRef(KIND.name, "", self.metadata.name))

    @property
    def status(self) -> Mapping[str, Any]:
        """Return the status that the API server has."""
        return self.stored_status.read()

    @property
    def target_name(self) -> str:
        """Return the name of all targets: the resource's own unless another is set."""
        return self.spec.target.name or self.metadata.name

    @property
    def target_keys(self) -> tuple[SecretKey, ...]:
        """Return no keys: the namespaces that exist decide which targets there are."""
        return ()

    @property
    def credentials_key(self) -> SecretKey:
        """Return the credentials Secret's key."""
        return self.credentials_namespace, self.spec.credentials_secret_ref.name


_RESOURCE: Final = TypeAdapter(_Parsed)


def parse_cluster_resource(
    obj: Mapping[str, Any], credentials_namespace: str
) -> ClusterPineconeAccessToken:
    """Read an object as the API server sends it; see `parse`.

    Args:
        obj: the object.
        credentials_namespace: the cluster resource namespace.
    """
    found = parse(_RESOURCE, obj, KIND)
    return ClusterPineconeAccessToken(
        found.metadata, found.spec, credentials_namespace, found.stored_status
    )
