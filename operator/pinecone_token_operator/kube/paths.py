"""Paths of the Kubernetes API. The only place that composes them.

    SECRETS.collection("team-a")                    /api/v1/namespaces/team-a/secrets
    SECRETS.collection()                            /api/v1/secrets
    SECRETS.item("team-a", "app")                   /api/v1/namespaces/team-a/secrets/app
    NAMESPACES.item(None, "team-a")                 /api/v1/namespaces/team-a
    LEASES.api                                      /apis/coordination.k8s.io/v1

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ApiResource:
    """One kind of object, as the API server serves it.

    Attributes:
        group: the API group; empty for the core group.
        version: the version within the group.
        plural: the resource's name in paths.
        namespaced: False for a cluster-scoped resource.
    """

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def __str__(self) -> str:
        """Return the name that kubectl takes, for example `leases.coordination.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api(self) -> str:
        """The path of the group and version, where discovery lists its resources."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def collection(self, namespace: str | None = None) -> str:
        """Return the path to list, watch and create at.

        Args:
            namespace: None means all namespaces; always None for a cluster-scoped resource.

        Raises:
            ValueError: a namespace was given for a cluster-scoped resource.
        """
        if namespace is None:
            return f"{self.api}/{self.plural}"
        if not self.namespaced:
            raise ValueError(f"{self} is cluster-scoped and has no namespace")
        return f"{self.api}/namespaces/{namespace}/{self.plural}"

    def item(self, namespace: str | None, name: str, subresource: str = "") -> str:
        """Return the path of one object or of its subresource.

        Raises:
            ValueError: the namespace is missing, or the resource is cluster-scoped and has none.
        """
        if self.namespaced and namespace is None:
            raise ValueError(f"{self} is namespaced: one object needs its namespace")
        path = f"{self.collection(namespace)}/{name}"
        return f"{path}/{subresource}" if subresource else path


SECRETS: Final = ApiResource("", "v1", "secrets")
EVENTS: Final = ApiResource("", "v1", "events")
NAMESPACES: Final = ApiResource("", "v1", "namespaces", namespaced=False)
LEASES: Final = ApiResource("coordination.k8s.io", "v1", "leases")
