"""Whose target each token was written into, be it for a moment only."""

import base64
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import httpx

from tests.chaos.population import Member
from tests.support.api import Kube, KubeError
from tests.support.cluster import Cluster
from tests.support.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from tests.chaos.fairness import Key

_OPAQUE = "/api/v1/secrets?fieldSelector=type%3DOpaque"
_WATCH_SECONDS = 2
_PAUSE_SECONDS = 0.5


class Holders:
    """Follows every write of a target until it is left.

    Attributes:
        by_token: in whose target each token was first.
    """

    def __init__(
        self, cluster: Cluster, endpoint: TokenEndpoint, members: tuple[Member, ...]
    ) -> None:
        self.by_token: dict[str, Key] = {}
        self._cluster = cluster
        self._endpoint = endpoint
        self._keys = frozenset(member.key for member in members)
        self._version = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="holders", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with Kube(self._cluster) as kube:
            last = False
            while not last:
                last = self._stop.is_set()  # once more then, for what came before
                try:
                    self._follow(kube)
                except KubeError as error:
                    if error.status == httpx.codes.GONE:
                        self._version = ""
                    self._stop.wait(_PAUSE_SECONDS)
                except (httpx.HTTPError, ValueError):
                    # An API server that is away takes no writes; this goes on where it was.
                    self._stop.wait(_PAUSE_SECONDS)

    def _follow(self, kube: Kube) -> None:
        if not self._version:
            found = kube.get(_OPAQUE) or {}
            for item in found["items"]:
                self._note(item)
            self._version = found["metadata"]["resourceVersion"]
        for event in kube.watch(_OPAQUE, self._version, _WATCH_SECONDS):
            if event["type"] == "ERROR":
                raise KubeError(event["object"]["code"], "the watch cannot go on")
            self._version = event["object"]["metadata"]["resourceVersion"]
            self._note(event["object"])

    def _note(self, secret: Mapping[str, Any]) -> None:
        metadata = secret["metadata"]
        key = metadata["namespace"], metadata["name"]
        data = (secret.get("data") or {}).get("access_token", "")
        token = base64.b64decode(data).decode("utf-8", "replace")
        if key in self._keys and token in self._endpoint.issued:
            self.by_token.setdefault(token, key)
