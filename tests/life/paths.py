"""The API server's paths."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from tests.support.documented import GROUP, PLURAL, VERSION

NAMESPACE: Final = "shop"


@dataclass(frozen=True, slots=True)
class Target:
    """What a path means.

    Attributes:
        group: of the API; empty for the core group.
        namespace: of the object.
        resource: plural, with a subresource if any.
        name: of the object; empty for a collection.
    """

    group: str
    namespace: str
    resource: str
    name: str


def secrets_path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"


def tokens_path(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"


SECRETS: Final = secrets_path(NAMESPACE)
TOKENS: Final = tokens_path(NAMESPACE)


@cache
def parse(path: str) -> Target:
    """Return what a path means."""
    before, _, after = path.partition("/namespaces/")
    group = before.split("/")[2] if before.startswith("/apis/") else ""
    namespace, plural, *rest = after.split("/")
    name, *subresources = rest or [""]
    return Target(group, namespace, "/".join([plural, *subresources]), name)


def is_resource(path: str) -> bool:
    """Return whether a path is of PineconeAccessTokens."""
    return path.startswith(f"/apis/{GROUP}/")


def is_secret(path: str) -> bool:
    """Return whether a path is of Secrets."""
    return path.startswith("/api/v1/") and parse(path).resource == "secrets"
