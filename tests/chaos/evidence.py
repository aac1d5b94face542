"""Looks for tokens and client secrets where none may be, all through the run."""

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION
from tests.chaos.place import Place
from tests.chaos.population import SECRET_PREFIX
from tests.chaos.repeating import Repeating
from tests.support.api import KubeError
from tests.support.leaks import find_leaks
from tests.support.operator_process import OperatorError
from tests.support.token_endpoint import TOKEN_PREFIX

_EVERY_SECONDS = 10.0
# Each token and each client secret begins with one of these, and nothing else does.
_TRACES = (TOKEN_PREFIX, SECRET_PREFIX)
_BLOCK = 16 * 1024 * 1024
_OVERLAP = 4096


class Evidence(Repeating):
    """Looks now and then until it is left, and, when told so, at the logs.

    Attributes:
        leaks: what held a token or a client secret.
        looks: how often it looked.
    """

    def __init__(self, place: Place) -> None:
        super().__init__("evidence", self._look, _EVERY_SECONDS)
        self.leaks: set[str] = set()
        self.looks = 0
        self._place = place

    def finish(self) -> None:
        """Look at all that was logged."""
        for replica in self._place.replicas.all:
            for text in _blocks(replica.operator.log):
                self._search({f"log of {replica.name}": text})

    def _look(self) -> None:
        self.looks += 1
        for replica in self._place.replicas.all:
            broken = (OSError, http.client.HTTPException, OperatorError)
            with contextlib.suppress(*broken):
                self._search({f"metrics of {replica.name}": replica.operator.get("/metrics")[1]})
        paths = {
            "a resource": f"/apis/{GROUP}/{VERSION}/{PLURAL}",
            "an event": "/api/v1/events",
            "a Secret's metadata": "/api/v1/secrets",
        }
        for name, path in paths.items():
            with contextlib.suppress(httpx.HTTPError, KubeError):
                found = self._place.kube.get(path) or {}
                self._search({name: json.dumps(_without_data(found), ensure_ascii=False)})

    def _search(self, texts: Mapping[str, str]) -> None:
        self.leaks.update(find_leaks(texts, _TRACES))


def _without_data(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [{**item, "data": None} for item in found.get("items", ())]


def _blocks(path: Path) -> Iterator[str]:
    """Yield a file in pieces that overlap, so that nothing is missed between two."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block.decode("utf-8", "replace")
            if len(block) == _BLOCK:
                file.seek(-_OVERLAP, 1)
