"""Which target each token was written to first, even if only for a moment."""

from collections.abc import Collection, Mapping
from typing import Any

from tests.chaos.records import Key
from tests.support.cluster import Cluster
from tests.support.encoding import text
from tests.support.token_endpoint import TokenEndpoint
from tests.support.watch import CollectionWatch

_OPAQUE_SECRETS = "/api/v1/secrets?fieldSelector=type%3DOpaque"


class TargetWrites(CollectionWatch):
    """Follows every write of a target until it is left.

    Args:
        cluster: the cluster.
        endpoint: issued the tokens.
        keys: the targets.

    Attributes:
        by_token: the target that held each token first.
    """

    def __init__(self, cluster: Cluster, endpoint: TokenEndpoint, keys: Collection[Key]) -> None:
        super().__init__(cluster, _OPAQUE_SECRETS, self._record)
        self.by_token: dict[str, Key] = {}
        self._endpoint = endpoint
        self._keys = frozenset(keys)

    def _record(self, _: str, secret: Mapping[str, Any]) -> None:
        metadata = secret["metadata"]
        key = metadata["namespace"], metadata["name"]
        token = text(secret.get("data"), "access_token")
        if key in self._keys and token in self._endpoint.issued:
            self.by_token.setdefault(token, key)
