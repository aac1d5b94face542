"""A user, with helm and kubectl and nothing else."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.commands import CommandError, run
from tests.support.control_plane import binaries

_POLL_SECONDS = 0.3

T = TypeVar("T")


class User:
    """Types commands, as one who may do everything."""

    def __init__(self, kubeconfig: Path, home: Path) -> None:
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
        """Return an object, or a list of them."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.get(*arguments)["items"]
        return items

    def works(self, *arguments: str) -> bool:
        """Return whether a command of kubectl works."""
        try:
            self.kubectl(*arguments)
        except CommandError:
            return False
        return True


def eventually(look: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """Return the first answer that is true; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := look():
            return answer
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}"
        time.sleep(_POLL_SECONDS)
