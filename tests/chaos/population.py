"""The resources of a run and the credentials that they use."""

import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.records import Key
from tests.support.documented import CLUSTER_KIND, GROUP, KIND, VERSION
from tests.support.encoding import encode
from tests.support.token_endpoint import TokenEndpoint

NAMESPACES = tuple(f"chaos-{number}" for number in range(10))
# These may be deleted as a whole, so credentials are only changed in the others.
EXPENDABLE = NAMESPACES[:2]
SECRET_PREFIX = "chaos-client-secret-"
LABEL = "chaos.example/of"
SYSTEM_NAMESPACE = "chaos-system"
SHARED_LABEL = "chaos.example/token"
SHARED_TARGET = "shared-token"
# No label selects this one, and the Secret in it is someone else's.
UNSELECTED = "fleet-other"

_SHARED_BY = 5


@dataclass(frozen=True, slots=True)
class Member:
    """One resource; its target has the resource's own name.

    Attributes:
        namespace: of the resource, its credentials and its target.
        name: of the resource.
        account: the name of its credentials Secret.
    """

    namespace: str
    name: str
    account: str

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    @property
    def account_key(self) -> Key:
        return self.namespace, self.account

    def resource(self) -> dict[str, Any]:
        """Return the resource as a user would create it."""
        template = {
            "metadata": {"labels": {LABEL: self.name}},
            "data": {"authorization": "Bearer ${access_token}"},
        }
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": self.name},
            "spec": {
                "credentialsSecretRef": {"name": self.account},
                "target": {"template": template},
            },
        }


@dataclass(frozen=True, slots=True)
class Fleet:
    """One cluster-scoped resource and the namespaces that it selects.

    Attributes:
        name: of the resource, and the value of the label that selects its namespaces.
        namespaces: where its copies are.
    """

    name: str
    namespaces: tuple[str, ...]

    @property
    def key(self) -> Key:
        return "", self.name

    @property
    def account_key(self) -> Key:
        return SYSTEM_NAMESPACE, "shared-account"

    @property
    def copies(self) -> tuple[Key, ...]:
        """Return the Secrets with its copies."""
        return tuple((namespace, SHARED_TARGET) for namespace in self.namespaces)

    def resource(self) -> dict[str, Any]:
        """Return the resource as a cluster administrator would create it."""
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": CLUSTER_KIND,
            "metadata": {"name": self.name},
            "spec": {
                "credentialsSecretRef": {"name": self.account_key[1]},
                "namespaceSelector": {"matchLabels": {SHARED_LABEL: self.name}},
                "target": {"name": SHARED_TARGET},
            },
        }


def make_fleets(*, selected: bool) -> tuple[Fleet, ...]:
    """Return a resource with many namespaces and one with few.

    Args:
        selected: whether the operator watches a list of namespaces, each with watches of its own.
    """
    counts = {"wide": 8 if selected else 40, "narrow": 4}
    return tuple(
        Fleet(name, tuple(f"fleet-{name}-{number:02}" for number in range(count)))
        for name, count in counts.items()
    )


def make_members(count: int) -> tuple[Member, ...]:
    """Return that many resources, spread over the namespaces.

    Half of them have credentials of their own; the others share theirs with a few more.
    """
    members = []
    for number in range(count):
        namespace = NAMESPACES[number % len(NAMESPACES)]
        row = number // len(NAMESPACES)
        own = row % 2 == 0
        account = f"own-{row}" if own else f"shared-{row // (2 * _SHARED_BY)}"
        members.append(Member(namespace, f"token-{row:03}", account))
    return tuple(members)


class Accounts:
    """The service accounts: what the token endpoint accepts and what their Secrets hold."""

    def __init__(self, endpoint: TokenEndpoint, keys: Iterable[Key]) -> None:
        self._lock = threading.Lock()
        self._accepted: dict[str, str] = {}
        self._rotated_at: dict[Key, float] = {}
        endpoint.credentials = self._accepted  # the endpoint reads it at each request
        self.keys = sorted(keys)
        for key in self.keys:
            self.rotate(key)

    def rotate(self, key: Key) -> None:
        """Give an account a new client secret; the old one is no longer accepted."""
        with self._lock:
            self._accepted[client_id(key)] = new_secret()
            self._rotated_at[key] = time.monotonic()

    def rotated_at(self, key: Key) -> float:
        """Return when the account got its client secret, in monotonic seconds."""
        with self._lock:
            return self._rotated_at[key]

    def data(self, key: Key) -> dict[str, str]:
        """Return the correct data of a credentials Secret."""
        with self._lock:
            client_secret = self._accepted[client_id(key)]
        return {"client_id": encode(client_id(key)), "client_secret": encode(client_secret)}


def client_id(key: Key) -> str:
    return "-".join(key)


def new_secret() -> str:
    return SECRET_PREFIX + secrets.token_hex(12)


def users(members: Iterable[Member], fleets: Iterable[Fleet] = ()) -> Mapping[Key, frozenset[Key]]:
    """Return the resources, and the copies, that use each account."""
    found: dict[Key, set[Key]] = {}
    for member in members:
        found.setdefault(member.account_key, set()).add(member.key)
    for fleet in fleets:
        found.setdefault(fleet.account_key, set()).update((fleet.key, *fleet.copies))
    return {account: frozenset(keys) for account, keys in found.items()}
