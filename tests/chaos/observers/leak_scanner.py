"""Searches for tokens and client secrets where none may appear, for the whole run."""

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.observers.periodic import Periodic
from tests.support.api import Kube, KubeError
from tests.support.documented import CLUSTER_PLURAL, GROUP, PLURAL, VERSION
from tests.support.leaks import find_leaks
from tests.support.operator_process import Operator, OperatorError

_EVERY_SECONDS = 10.0
_BLOCK = 16 * 1024 * 1024
_OVERLAP = 4096
_PUBLIC = {
    "a resource": f"/apis/{GROUP}/{VERSION}/{PLURAL}",
    "a cluster-scoped resource": f"/apis/{GROUP}/{VERSION}/{CLUSTER_PLURAL}",
    "an event": "/api/v1/events",
    "a Secret's metadata": "/api/v1/secrets",
}


class LeakScanner(Periodic):
    """Scans metrics and objects periodically until it is left; `scan_logs` scans the logs.

    Args:
        kube: reads the objects.
        operators: the replicas, by name.
        traces: what every token and every client secret starts with, and nothing else.

    Attributes:
        leaks: where a token or a client secret was found.
    """

    def __init__(
        self, kube: Kube, operators: Mapping[str, Operator], traces: Sequence[str]
    ) -> None:
        super().__init__("leak scanner", self._scan, _EVERY_SECONDS)
        self.leaks: set[str] = set()
        self._kube = kube
        self._operators = operators
        self._traces = traces

    def scan_logs(self) -> None:
        """Scan everything that the replicas have logged."""
        for name, operator in self._operators.items():
            for text in _blocks(operator.log):
                self._search({f"log of {name}": text})

    def _scan(self) -> None:
        for name, operator in self._operators.items():
            not_running = (OSError, http.client.HTTPException, OperatorError)
            with contextlib.suppress(*not_running):
                self._search({f"metrics of {name}": operator.get("/metrics")[1]})
        for name, path in _PUBLIC.items():
            with contextlib.suppress(httpx.HTTPError, KubeError):
                found = self._kube.get(path) or {}
                self._search({name: json.dumps(_without_data(found), ensure_ascii=False)})

    def _search(self, texts: Mapping[str, str]) -> None:
        self.leaks.update(find_leaks(texts, self._traces))


def _without_data(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [{**item, "data": None} for item in found.get("items", ())]


def _blocks(path: Path) -> Iterator[str]:
    """Yield a file in overlapping pieces, so that nothing is missed between two of them."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block.decode("utf-8", "replace")
            if len(block) == _BLOCK:
                file.seek(-_OVERLAP, 1)
