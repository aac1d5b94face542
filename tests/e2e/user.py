"""A user who has helm and kubectl and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.commands import CommandError, run
from tests.support import api
from tests.support.control_plane import binaries

_POLL_SECONDS = 0.3

T = TypeVar("T")


class User:
    """Runs helm and kubectl with all permissions.

    Attributes:
        kubeconfig: the user's.
    """

    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self.kubeconfig = kubeconfig
        self._programs = binaries("helm", "kubectl")
        self._environ = {"KUBECONFIG": str(kubeconfig), "HOME": str(home)}

    def helm(self, *arguments: str | Path) -> str:
        return run(self._programs["helm"], *arguments, environ=self._environ)

    def kubectl(self, *arguments: str | Path, text: str = "") -> str:
        return run(self._programs["kubectl"], *arguments, environ=self._environ, text=text)

    def apply(self, namespace: str, *objects: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--namespace", namespace, "-f", "-", text=json.dumps(listed))

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return an object or a list of objects."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.get(*arguments)["items"]
        return items

    def works(self, *arguments: str) -> bool:
        """Return whether a kubectl command succeeds."""
        try:
            self.kubectl(*arguments)
        except CommandError:
            return False
        return True


def eventually(check: Callable[[], T | None], what: str, timeout: float = 60.0) -> T:
    """Call a check until it returns something true, as `api.eventually` does, but less often."""
    return api.eventually(check, what, timeout, poll=_POLL_SECONDS)
