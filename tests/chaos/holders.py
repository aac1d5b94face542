"""Whose target each token was written into, be it for a moment only."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx

from tests.chaos.population import Member
from tests.chaos.repeating import Repeating
from tests.chaos.watcher import text
from tests.support.api import Kube, KubeError
from tests.support.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from tests.chaos.fairness import Key

_OPAQUE = "/api/v1/secrets?fieldSelector=type%3DOpaque"
_WATCH_SECONDS = 2
_PAUSE_SECONDS = 0.5


class Holders(Repeating):
    """Follows every write of a target until it is left.

    Attributes:
        by_token: in whose target each token was first.
    """

    def __init__(self, kube: Kube, endpoint: TokenEndpoint, members: tuple[Member, ...]) -> None:
        super().__init__("holders", self._follow, _PAUSE_SECONDS)
        self.by_token: dict[str, Key] = {}
        self._kube = kube
        self._endpoint = endpoint
        self._keys = frozenset(member.key for member in members)
        self._version = ""

    def _follow(self) -> None:
        try:
            self._watch()
        except KubeError as error:
            if error.status == httpx.codes.GONE:
                self._version = ""
        # An API server that is away takes no writes; the next watch goes on where this one was.
        except (httpx.HTTPError, ValueError):
            pass

    def _watch(self) -> None:
        if not self._version:
            found = self._kube.get(_OPAQUE) or {}
            for item in found["items"]:
                self._note(item)
            self._version = found["metadata"]["resourceVersion"]
        for event in self._kube.watch(_OPAQUE, self._version, _WATCH_SECONDS):
            if event["type"] == "ERROR":
                raise KubeError(event["object"]["code"], "the watch cannot go on")
            self._version = event["object"]["metadata"]["resourceVersion"]
            self._note(event["object"])

    def _note(self, secret: Mapping[str, Any]) -> None:
        metadata = secret["metadata"]
        key = metadata["namespace"], metadata["name"]
        token = text(secret.get("data") or {}, "access_token")
        if key in self._keys and token in self._endpoint.issued:
            self.by_token.setdefault(token, key)
