"""The versions of Secrets in all watched namespaces."""

from collections.abc import Hashable, Mapping

from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.watch.secrets_metadata import SecretReflector


class SecretVersions:
    """Asks the reflector of a Secret's namespace.

    Args:
        reflectors: by namespace; one for None watches all namespaces.
    """

    def __init__(self, reflectors: Mapping[str | None, SecretReflector]) -> None:
        self._reflectors = reflectors

    def resource_version(self, key: SecretKey) -> str | None:
        """Return a Secret's resourceVersion as last seen; None if no watch reports it."""
        reflector = self._of(key)
        return reflector.resource_version(key) if reflector else None

    def identity(self, key: SecretKey) -> tuple[str, str] | None:
        """Return a Secret's UID and resourceVersion as last seen; None if no watch reports it."""
        reflector = self._of(key)
        return reflector.identity(key) if reflector else None

    def note(
        self, key: SecretKey, uid: str, resource_version: str, *, by: Hashable | None = None
    ) -> None:
        """Remember the version that someone has just read or written; see `SecretReflector`."""
        if reflector := self._of(key):
            reflector.note(key, uid, resource_version, by=by)

    def forget(self, key: SecretKey) -> None:
        """Forget a Secret that no resource refers to any more."""
        if reflector := self._of(key):
            reflector.forget(key)

    def _of(self, key: SecretKey) -> SecretReflector | None:
        return self._reflectors.get(key[0]) or self._reflectors.get(None)
