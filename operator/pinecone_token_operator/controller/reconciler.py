"""What the control loop needs of a kind: its resources and its reconciler."""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from pinecone_token_operator.api.common import Metadata
from pinecone_token_operator.api.group import Kind
from pinecone_token_operator.keys import ObjectRef, SecretKey

Object = Mapping[str, Any]
"""A custom resource as the API server sends it."""


class Resource(Protocol):
    """One parsed resource."""

    @property
    def ref(self) -> ObjectRef:
        """How it is identified."""
        ...

    @property
    def metadata(self) -> Metadata:
        """Its metadata."""
        ...

    @property
    def credentials_key(self) -> SecretKey:
        """The credentials Secret that it names."""
        ...

    @property
    def target_keys(self) -> Sequence[SecretKey]:
        """The Secrets that it claims as targets."""
        ...


class Reconciler(Protocol):
    """Reconciles the resources of one kind."""

    @property
    def kind(self) -> Kind:
        """The kind."""
        ...

    def parse(self, obj: Object) -> Resource:
        """Read a resource.

        Raises:
            ResourceInvalid: it cannot be used.
        """
        ...

    async def reconcile(self, ref: ObjectRef) -> datetime | None:
        """Reconcile a resource, and return when to reconcile it again without an event.

        None means never, as for a resource that is gone. Failures are retried by the returned time;
        nothing is raised for them.
        """
        ...

    async def reject(self, obj: Object, message: str) -> None:
        """Report in its status that a resource cannot be used."""
        ...

    def forget(self, resource: Resource) -> None:
        """Drop what is known of a resource that is gone."""
        ...

    def removal(self, resource: Resource) -> Callable[[], Awaitable[None]] | None:
        """Return what is to be done after a resource was deleted; None if nothing is."""
        ...

    async def find_orphans(
        self, namespace: str | None, living: Container[str]
    ) -> Mapping[SecretKey, Callable[[], Awaitable[None]]]:
        """Return what is to be done after resources that were deleted without an event.

        Args:
            namespace: where; None means all namespaces.
            living: the UIDs of all resources there.

        Returns:
            What is to be done, by the target that it is about.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        ...

    def status_seen(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Take over the status that the API server has, in case another writer changed it."""
        ...

    def urgency(self, ref: ObjectRef) -> tuple[float, ...]:
        """Return a resource's place in the work queue; the smaller, the sooner."""
        ...
