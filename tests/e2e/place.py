"""A namespace that a team works in."""

from dataclasses import dataclass
from pathlib import Path

from tests.e2e.release import LEVEL
from tests.e2e.stage import Stage

PYTHON = "/opt/venv/bin/python"
SCRIPT = {"name": "script", "mountPath": "/reader", "readOnly": True}
SCRIPT_VOLUME = {"name": "script", "configMap": {"name": "reader"}}


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace, with the strictest Pod Security and the script that reads the token.

    Attributes:
        stage: the cluster.
        namespace: its name.
    """

    stage: Stage
    namespace: str

    def kubectl(self, *arguments: str) -> str:
        return self.stage.user.kubectl("--namespace", self.namespace, *arguments)

    def create(self) -> None:
        """Create it."""
        self.stage.user.kubectl("create", "namespace", self.namespace)
        self.stage.user.kubectl("label", "namespace", self.namespace, f"{LEVEL}=restricted")
        script = f"--from-file=reader.py={Path(__file__).with_name('reader.py')}"
        self.kubectl("create", "configmap", "reader", script)

    def delete(self, *, wait: bool = True) -> None:
        """Delete it, and wait until it has gone, which takes its pods' grace period."""
        how = "--timeout=90s" if wait else "--wait=false"
        self.stage.user.kubectl("delete", "namespace", self.namespace, how)
