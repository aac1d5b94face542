"""The resources by key, and which of them a Secret matters to. In memory only."""

from collections.abc import Callable, Collection, Iterator

from pinecone_token_operator.controller.reconciler import Resource
from pinecone_token_operator.keys import ObjectRef, SecretKey
from pinecone_token_operator.small_sets import with_member, without_member


class Index:
    """Resources by reference, and their references by the Secrets that they name.

    Args:
        new_owner: called with a resource that turns out to own a target, or has to give one up;
            must not block.
    """

    def __init__(self, new_owner: Callable[[ObjectRef], None] = lambda _: None) -> None:
        self._new_owner = new_owner
        self._resources: dict[ObjectRef, Resource] = {}
        self._by_credentials: dict[SecretKey, Collection[ObjectRef]] = {}
        self._claims: dict[SecretKey, _Claims] = {}
        self._more_targets: dict[ObjectRef, set[SecretKey]] = {}
        self._uids: set[str] = set()

    def __len__(self) -> int:
        return len(self._resources)

    def __iter__(self) -> Iterator[ObjectRef]:
        """Iterate over the references of all resources, as they are now."""
        return iter(list(self._resources))

    def get(self, ref: ObjectRef) -> Resource | None:
        """Return a resource, or None if there is none."""
        return self._resources.get(ref)

    def put(self, resource: Resource) -> None:
        """Add or replace a resource."""
        self.remove(resource.ref)
        self._resources[resource.ref] = resource
        self._uids.add(resource.metadata.uid)
        credentials = resource.credentials_key
        users = self._by_credentials.get(credentials, ())
        self._by_credentials[credentials] = with_member(users, resource.ref)
        for key in resource.target_keys:
            self._add_claim(key, resource)

    def claim(self, resource: Resource, targets: Collection[SecretKey]) -> None:
        """Set the targets that a resource claims besides those that it names.

        Args:
            resource: a resource of the index.
            targets: all of them; claims of others are given up.
        """
        before = self._more_targets.get(resource.ref, set())
        after = set(targets)
        for key in before - after:
            self._remove_claim(key, resource)
        for key in after - before:
            self._add_claim(key, resource)
        if after:
            self._more_targets[resource.ref] = after
        else:
            self._more_targets.pop(resource.ref, None)

    def targets_of(self, resource: Resource) -> list[SecretKey]:
        """Return all targets that a resource of the index claims."""
        return [*resource.target_keys, *self._more_targets.get(resource.ref, ())]

    def remove(self, ref: ObjectRef) -> Resource | None:
        """Remove a resource and return it, or None if there was none."""
        resource = self._resources.pop(ref, None)
        if resource is None:
            return None
        self._uids.discard(resource.metadata.uid)
        credentials = resource.credentials_key
        users = without_member(self._by_credentials.pop(credentials), ref)
        if users:
            self._by_credentials[credentials] = users
        for key in self.targets_of(resource):
            self._remove_claim(key, resource)
        self._more_targets.pop(ref, None)
        return resource

    def has(self, uid: str) -> bool:
        """Return whether there is a resource with this UID."""
        return uid in self._uids

    def is_wanted(self, secret: SecretKey) -> bool:
        """Return whether some resource names this Secret."""
        return secret in self._by_credentials or secret in self._claims

    def referring_to(self, secret: SecretKey) -> list[ObjectRef]:
        """Return the resources that name this Secret."""
        claims = self._claims.get(secret)
        claimants = [each.ref for each in claims.by_uid.values()] if claims else []
        return list(dict.fromkeys([*self._by_credentials.get(secret, ()), *claimants]))

    def affected_by(self, secret: SecretKey) -> list[ObjectRef]:
        """Return the resources that a change of this Secret matters to.

        Of those that claim one target, only its owner writes it, or the oldest one after the change
        has removed the owner's UID; the others wait.
        """
        claims = self._claims.get(secret)
        if claims is None or len(claims.by_uid) == 1 or claims.owner is None:
            return self.referring_to(secret)
        writers = claims.owner, claims.find_owner(None)
        return list(dict.fromkeys([*self._by_credentials.get(secret, ()), *writers]))

    def rival(self, resource: Resource, target: SecretKey, owner_uid: str | None) -> str | None:
        """Return the kind and name of another resource that owns a target; None if this one does.

        The resource whose UID is on the target owns it, while it exists and claims it; else the
        oldest one does. A cluster-scoped resource owns only what no resource in the target's
        namespace claims.

        Args:
            resource: the resource that asks.
            target: a target that it claims.
            owner_uid: the UID on the target, if it exists and has one.
        """
        claims = self._claims.get(target)
        if claims is None or len(claims.by_uid) == 1:
            return None
        owner = claims.find_owner(owner_uid)
        if owner not in (claims.owner, resource.ref):
            self._new_owner(owner)
        claims.owner = owner
        return None if claims.owner == resource.ref else f"{claims.owner.kind} {claims.owner.name}"

    def is_outranked(self, resource: Resource, target: SecretKey) -> bool:
        """Return whether a resource in a target's namespace claims it, and this one is in none."""
        claims = self._claims.get(target)
        if claims is None or resource.ref.namespace:
            return False
        return any(each.ref.namespace for each in claims.by_uid.values())

    def _add_claim(self, target: SecretKey, resource: Resource) -> None:
        claims = self._claims.get(target)
        if claims is None:
            claims = self._claims[target] = _Claims()
        claims.add(resource)
        if len(claims.by_uid) > 1 and resource.ref.namespace:
            for each in claims.by_uid.values():
                if not each.ref.namespace:
                    self._new_owner(each.ref)  # it has to give the target up

    def _remove_claim(self, target: SecretKey, resource: Resource) -> None:
        claims = self._claims[target]
        claims.remove(resource)
        if not claims.by_uid:
            del self._claims[target]


class _Claims:
    """The resources that claim one target.

    Attributes:
        by_uid: the resources.
        owner: the one that owns the target, as far as is known.
    """

    __slots__ = ("_oldest", "by_uid", "owner")

    def __init__(self) -> None:
        self.by_uid: dict[str, Resource] = {}
        self.owner: ObjectRef | None = None
        self._oldest: ObjectRef | None = None

    def add(self, resource: Resource) -> None:
        self.by_uid[resource.metadata.uid] = resource
        self.owner = self._oldest = None

    def remove(self, resource: Resource) -> None:
        self.by_uid.pop(resource.metadata.uid, None)
        self.owner = self._oldest = None

    def find_owner(self, owner_uid: str | None) -> ObjectRef:
        if self._oldest is None:
            self._oldest = min(self.by_uid.values(), key=_rank).ref
        if owner_uid in self.by_uid:
            owner = self.by_uid[owner_uid].ref
            if bool(owner.namespace) == bool(self._oldest.namespace):
                return owner
        return self._oldest


def _rank(resource: Resource) -> tuple[object, ...]:
    """Return what of two resources that claim one target the first has less of."""
    metadata = resource.metadata
    is_cluster_scoped = not resource.ref.namespace
    return is_cluster_scoped, metadata.creation_timestamp, metadata.name, metadata.uid
