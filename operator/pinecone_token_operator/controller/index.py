"""Which resources there are, and which of them a Secret matters to. In memory only."""

from collections import defaultdict
from collections.abc import Iterator

from pinecone_token_operator.api.access_token import PineconeAccessToken

Key = tuple[str, str]
"""(namespace, name), of a resource or of a Secret."""


class Index:
    """Resources by key, and their keys by the Secrets that they name."""

    def __init__(self) -> None:
        self._resources: dict[Key, PineconeAccessToken] = {}
        self._by_secret: defaultdict[Key, set[Key]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._resources)

    def get(self, key: Key) -> PineconeAccessToken | None:
        """Return a resource, or None if there is none."""
        return self._resources.get(key)

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys of all resources, as they are now."""
        return iter(list(self._resources))

    def put(self, resource: PineconeAccessToken) -> None:
        """Add or replace a resource."""
        self.remove(resource.key)
        self._resources[resource.key] = resource
        for secret in (resource.credentials_key, resource.target_key):
            self._by_secret[secret].add(resource.key)

    def remove(self, key: Key) -> PineconeAccessToken | None:
        """Remove a resource and return it, or None if there was none."""
        resource = self._resources.pop(key, None)
        if resource is not None:
            for secret in {resource.credentials_key, resource.target_key}:
                self._by_secret[secret].discard(key)
                if not self._by_secret[secret]:
                    del self._by_secret[secret]
        return resource

    def is_wanted(self, secret: Key) -> bool:
        """Return whether some resource names this Secret."""
        return secret in self._by_secret

    def referring_to(self, secret: Key) -> list[Key]:
        """Return the keys of the resources that name this Secret."""
        return list(self._by_secret.get(secret, ()))

    def older_claimant(self, resource: PineconeAccessToken) -> str | None:
        """Return the name of the oldest other resource with the same target, if it is older."""

        def age(one: PineconeAccessToken) -> tuple[object, str]:
            return one.metadata.creation_timestamp, one.metadata.name

        claimants = [
            self._resources[key]
            for key in self._by_secret.get(resource.target_key, ())
            if self._resources[key].target_key == resource.target_key
        ]
        oldest = min([*claimants, resource], key=age)
        return None if oldest.key == resource.key else oldest.metadata.name
