"""What all commands share: the API server, the namespace, and reading resources."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.media_types import MERGE_PATCH, METADATA
from pinecone_token_operator.kube.paths import SECRETS
from pinecone_token_operator.kubectl_plugin.api_server import ApiServer
from pinecone_token_operator.kubectl_plugin.kinds import CLUSTER, NAMESPACED, Reference
from pinecone_token_operator.kubectl_plugin.output import Output
from pinecone_token_operator.kubectl_plugin.resource import Resource


@dataclass(frozen=True, slots=True)
class Session:
    """One run of a command.

    Attributes:
        api: the API server.
        namespace: the namespace to look in; None means all of them.
        own_namespace: the namespace of a resource that is named, and of a target to print.
        output: where to print.
        kubectl: kubectl's flags for the same API server and user.
    """

    api: ApiServer
    namespace: str | None
    own_namespace: str
    output: Output
    kubectl: tuple[str, ...] = ()

    def get(self, ref: Reference) -> Resource:
        """Read a resource.

        Raises:
            ApiError: as `ApiServer.request`.
        """
        return Resource(ref.kind, self.api.request("GET", ref.path))

    def patch(self, ref: Reference, patch: Mapping[str, Any]) -> Resource:
        """Apply a merge patch to a resource.

        Raises:
            ApiError: as `ApiServer.request`.
        """
        reply = self.api.request("PATCH", ref.path, body=patch, content_type=MERGE_PATCH)
        return Resource(ref.kind, reply)

    def list(self) -> Iterator[Resource]:
        """Yield the resources of the namespace, or all of both kinds.

        A cluster without the second kind, or a user who may not list it, is not an error.

        Raises:
            ApiError: the first kind cannot be listed.
        """
        for obj in self.api.list(NAMESPACED.api.collection(self.namespace)):
            yield Resource(NAMESPACED, obj)
        if self.namespace is not None:
            return
        try:
            for obj in self.api.list(CLUSTER.api.collection()):
                yield Resource(CLUSTER, obj)
        except ApiError as error:
            if error.forbidden:
                self.output.note(f"{CLUSTER.api.plural} are not shown: {error.message}")
            elif not error.not_found:
                raise

    def names(self) -> Iterator[str]:
        """Yield what may be given as NAME: the namespace's resources and the cluster-scoped ones.

        Raises:
            ApiError: the first kind cannot be listed.
        """
        for obj in self.api.list(NAMESPACED.api.collection(self.own_namespace)):
            yield obj["metadata"]["name"]
        with contextlib.suppress(ApiError):
            for obj in self.api.list(CLUSTER.api.collection()):
                yield Reference(CLUSTER, "", obj["metadata"]["name"]).argument

    def secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        """Read the metadata of a Secret, never its data.

        Raises:
            ApiError: as `ApiServer.request`.
        """
        return self.api.request("GET", SECRETS.item(namespace, name), accept=METADATA)


def why_unread(error: ApiError) -> str:
    """Return in a few words why something could not be read."""
    if error.not_found:
        return "not found"
    return "access denied" if error.forbidden else error.brief
