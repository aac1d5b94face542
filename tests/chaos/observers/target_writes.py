"""Which resource each token was written for, and when each target held which token."""

import time
from collections.abc import Mapping
from typing import Any

from tests.chaos.records import Key, TokenChange
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
        resources: the resource of each target.
        start: the start of the run, in monotonic seconds.

    Attributes:
        by_token: the resource whose target held each token first, even if only for a moment.
        changes: when the token in each target changed, in order.
    """

    def __init__(
        self,
        cluster: Cluster,
        endpoint: TokenEndpoint,
        resources: Mapping[Key, Key],
        start: float,
    ) -> None:
        super().__init__(cluster, _OPAQUE_SECRETS, self._record)
        self.by_token: dict[str, Key] = {}
        self._endpoint = endpoint
        self.changes: dict[Key, list[TokenChange]] = {key: [] for key in resources}
        self._resources = resources
        self._start = start

    def _record(self, event_type: str, secret: Mapping[str, Any]) -> None:
        metadata = secret["metadata"]
        key = metadata["namespace"], metadata["name"]
        if key not in self._resources:
            return
        token = text(secret.get("data"), "access_token")
        issue = self._endpoint.issued.get(token)
        if issue is not None:
            self.by_token.setdefault(token, self._resources[key])
        at, changes = time.monotonic() - self._start, self.changes[key]
        if event_type == "DELETED":
            changes.append(TokenChange(at, None))
        elif issue is not None:
            change = TokenChange(at, issue.issued_at - self._start)
            if not changes or changes[-1].issued_at != change.issued_at:
                changes.append(change)
