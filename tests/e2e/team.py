"""A team's namespace: credentials, a resource, and pods that read the token."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.e2e.place import PYTHON, SCRIPT, SCRIPT_VOLUME, Place
from tests.e2e.readings import Readings, parse
from tests.e2e.stage import CLIENT, SECRET
from tests.e2e.user import eventually
from tests.support.conditions import state
from tests.support.repository import ROOT

CREDENTIALS, TARGET = "pinecone-service-account", "pinecone-access-token"
_GOOD, _BAD = ("reader",), ("subpath", "environment")


@dataclass(frozen=True, slots=True)
class Team(Place):
    """What a team does in its namespace."""

    def set_up(self) -> None:
        """Create the namespace and the credentials."""
        self.create()
        self.create_credentials()

    def create_credentials(self) -> None:
        literals = (f"--from-literal=client_id={CLIENT}", f"--from-literal=client_secret={SECRET}")
        self.kubectl("create", "secret", "generic", CREDENTIALS, *literals)

    def request_token(self, name: str = TARGET, target: Mapping[str, str] | None = None) -> None:
        """Create the example resource, with a name and a target."""
        resource = yaml.safe_load((ROOT / "examples" / "access-token.yaml").read_text("utf-8"))
        resource["metadata"]["name"] = name
        if target:
            resource["spec"]["target"] = dict(target)
        self.stage.user.apply(self.namespace, resource)

    def wait_ready(self, name: str = TARGET) -> None:
        ready = ("--for=condition=Ready", f"pineconeaccesstoken/{name}", "--timeout=60s")
        self.kubectl("wait", *ready)

    def condition(self, kind: str, name: str = TARGET) -> tuple[str, str]:
        """Return a condition's status and reason; both empty if it is not there yet."""
        resource = self.stage.user.get("pat", name, "--namespace", self.namespace)
        return state(resource, kind)

    def secrets(self) -> dict[str, str]:
        """Return the UIDs of all Secrets by name."""
        items = self.stage.user.items("secrets", "--namespace", self.namespace)
        return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}

    def version(self, secret: str) -> str:
        """Return a Secret's resourceVersion."""
        found = self.stage.user.get("secret", secret, "--namespace", self.namespace)
        version: str = found["metadata"]["resourceVersion"]
        return version

    def deploy(self) -> None:
        """Apply the example Deployment with three readers, two of them unsupported ways to read."""
        deployment = yaml.safe_load((ROOT / "examples" / "pod.yaml").read_text("utf-8"))
        deployment["spec"]["replicas"] = self.stage.form.readers
        pod = deployment["spec"]["template"]["spec"]
        pod["volumes"].append(SCRIPT_VOLUME)
        (container,) = pod["containers"]
        pod["containers"] = [
            self._container(container, "reader", "/var/run/pinecone"),
            self._container(container, "subpath", "/subpath") | {"volumeMounts": _SUBPATH},
            self._container(container, "environment", "-") | {"env": _ENVIRONMENT},
        ]
        for each in pod["containers"]:
            each["volumeMounts"] = [*each["volumeMounts"], SCRIPT]
        self.stage.user.apply(self.namespace, deployment)

    def _container(self, base: dict[str, Any], name: str, source: str) -> dict[str, Any]:
        command = [PYTHON, "-I", "/reader/reader.py", source]
        changed = {"name": name, "image": self.stage.image, "command": command, "args": []}
        return base | changed

    def readers(self) -> list[dict[str, Any]]:
        label = "app.kubernetes.io/name=pinecone-reader"
        return self.stage.user.items("pods", "--namespace", self.namespace, "--selector", label)

    def wait_reading(self) -> None:
        available = ("--for=condition=Available", "deployment/pinecone-reader", "--timeout=90s")
        self.kubectl("wait", *available)
        eventually(
            lambda: all(each.changes for each in self.readings()), "every reader has read a token"
        )

    def readings(self) -> list[Readings]:
        """Return what the readers of the mounted directory saw."""
        return self._logs(*_GOOD)

    def stale_readings(self) -> dict[str, list[Readings]]:
        """Return what the other readers saw, by how they read."""
        return {name: self._logs(name) for name in _BAD}

    def _logs(self, *containers: str) -> list[Readings]:
        found = []
        for pod in self.readers():
            for container in containers:
                log = self.kubectl("logs", pod["metadata"]["name"], "--container", container)
                if log:
                    found.append(parse(log))
        return found


_SUBPATH = [
    {
        "name": "pinecone-token",
        "mountPath": f"/subpath/{key}",
        "subPath": key,
        "readOnly": True,
    }
    for key in ("access_token", "expires_at")
]
_ENVIRONMENT = [
    {
        "name": key.upper(),
        "valueFrom": {"secretKeyRef": {"name": TARGET, "key": key}},
    }
    for key in ("access_token", "expires_at")
]
