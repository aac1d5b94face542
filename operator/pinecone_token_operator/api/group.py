"""The API group, its kinds, and the prefix of the operator's labels and annotations.

Without pydantic, for programs that read objects as they are.
"""

from dataclasses import dataclass
from typing import Final

GROUP: Final = "pinecone.token-operator.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
PREFIX: Final = f"{GROUP}/"
"""What the operator's own labels and annotations start with."""
REFRESH_REQUESTED_AT: Final = f"{PREFIX}refresh-requested-at"
"""An annotation on a resource: any new value of it requests a refresh."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of custom resource in the group.

    Attributes:
        name: the CamelCase kind, for example `PineconeAccessToken`.
        plural: its name in API paths.
        namespaced: False if the kind is cluster-scoped.
    """

    name: str
    plural: str
    namespaced: bool = True


ACCESS_TOKEN: Final = Kind("PineconeAccessToken", "pineconeaccesstokens")
CLUSTER_ACCESS_TOKEN: Final = Kind(
    "ClusterPineconeAccessToken", "clusterpineconeaccesstokens", namespaced=False
)
