"""The resources of a run, what they should look like, and the credentials that they use."""

import base64
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pinecone_token_operator.api.access_token import GROUP, KIND, VERSION
from tests.chaos.fairness import Key
from tests.support.token_endpoint import TokenEndpoint

NAMESPACES = tuple(f"chaos-{number}" for number in range(10))
# These may be deleted as a whole, so credentials are only changed in the others.
EXPENDABLE = NAMESPACES[:2]
SECRET_PREFIX = "chaos-client-secret-"
LABEL = "chaos.example/of"

_SHARED_BY = 5


@dataclass(frozen=True, slots=True)
class Member:
    """One resource. Its target has the resource's own name.

    Attributes:
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


def make_members(count: int) -> tuple[Member, ...]:
    """Return that many resources, spread over the namespaces.

    Half of them have an account of their own; the others share one with a few more.
    """
    members = []
    for number in range(count):
        namespace = NAMESPACES[number % len(NAMESPACES)]
        place = number // len(NAMESPACES)
        own = place % 2 == 0
        account = f"own-{place}" if own else f"shared-{place // (2 * _SHARED_BY)}"
        members.append(Member(namespace, f"token-{place:03}", account))
    return tuple(members)


class Accounts:
    """The service accounts: what the token endpoint accepts and what their Secrets hold."""

    def __init__(self, endpoint: TokenEndpoint, members: tuple[Member, ...]) -> None:
        self._lock = threading.Lock()
        self._accepted: dict[str, str] = {}
        self._rotated_at: dict[Key, float] = {}
        endpoint.credentials = self._accepted  # which is read at each request
        self.keys = sorted({member.account_key for member in members})
        for key in self.keys:
            self.rotate(key)

    def rotate(self, key: Key) -> None:
        """Give an account a new secret; the one before is accepted no more."""
        with self._lock:
            self._accepted[client_id(key)] = new_secret()
            self._rotated_at[key] = time.monotonic()

    def rotated_at(self, key: Key) -> float:
        """Return when the account got its secret, in monotonic seconds."""
        with self._lock:
            return self._rotated_at[key]

    def data(self, key: Key, **changed: bytes | None) -> dict[str, str]:
        """Return the right data of a credentials Secret, with some keys changed or left out."""
        with self._lock:
            right = {"client_id": client_id(key), "client_secret": self._accepted[client_id(key)]}
        data: dict[str, bytes | None] = {name: text.encode() for name, text in right.items()}
        data |= changed
        return {
            name: base64.b64encode(value).decode()
            for name, value in data.items()
            if value is not None
        }


def client_id(key: Key) -> str:
    return "-".join(key)


def new_secret() -> str:
    return SECRET_PREFIX + secrets.token_hex(12)


def users(members: tuple[Member, ...]) -> Mapping[Key, frozenset[Key]]:
    """Return the resources that use each account."""
    keys = {member.account_key for member in members}
    return {
        key: frozenset(member.key for member in members if member.account_key == key)
        for key in keys
    }
