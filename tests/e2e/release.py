"""The operator as a Helm release."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.e2e.stage import Stage
from tests.e2e.user import eventually
from tests.support.chart import CHART

LEVEL = "pod-security.kubernetes.io/enforce"

# Run in the operator's container: reports its user, its capabilities and whether it can write.
_SELF = """
import json, pathlib
status = dict(line.split(":", 1) for line in open("/proc/1/status"))
keys = "Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"
found = {key: status[key].split()[0] for key in keys}
try:
    pathlib.Path("/here").write_text("")
except OSError as error:
    found["write"] = error.strerror
print(json.dumps(found))
"""
CONFINED = {
    "Uid": "65532",
    "CapEff": "0000000000000000",
    "CapBnd": "0000000000000000",
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "write": "Read-only file system",
}


@dataclass(frozen=True, slots=True)
class Release:
    """A release and its namespace, which have the same name, as in the docs."""

    stage: Stage
    name: str

    @property
    def account(self) -> str:
        fullname = self.deployment.removeprefix("deployment/")
        return f"system:serviceaccount:{self.name}:{fullname}"

    @property
    def deployment(self) -> str:
        chart = "pinecone-token-operator"
        return f"deployment/{self.name if chart in self.name else f'{self.name}-{chart}'}"

    def install(self, *options: str) -> None:
        """Install the chart with default values but for the endpoint, under strict Pod Security."""
        user, endpoint = self.stage.user, self.stage.endpoint
        user.kubectl("create", "namespace", self.name)
        user.kubectl("label", "namespace", self.name, f"{LEVEL}=restricted")
        ca = f"--from-file=ca.crt={endpoint.ca_bundle}"
        user.kubectl("--namespace", self.name, "create", "configmap", "endpoint-ca", ca)
        chosen = ["--set", f"tokenEndpoint.url={endpoint.url}"]
        chosen += ["--set", "tokenEndpoint.caBundle.configMapName=endpoint-ca", *options]
        user.helm("install", self.name, CHART, "--namespace", self.name, *chosen)
        self.roll_out()

    def upgrade(self, chart: Path) -> None:
        user = self.stage.user
        command = ("upgrade", self.name, chart, "--namespace", self.name)
        user.helm(*command, "--reset-then-reuse-values")
        self.roll_out()

    def roll_out_with(self, *options: str) -> None:
        """Upgrade to the same chart with changed values."""
        command = ("upgrade", self.name, CHART, "--namespace", self.name)
        self.stage.user.helm(*command, "--reset-then-reuse-values", *options)
        self.roll_out()

    def roll_back(self) -> None:
        self.stage.user.helm("--namespace", self.name, "rollback", self.name)
        self.roll_out()

    def test(self) -> str:
        return self.stage.user.helm("--namespace", self.name, "test", self.name, "--logs")

    def uninstall(self) -> None:
        user = self.stage.user
        user.helm("--namespace", self.name, "uninstall", self.name, "--wait", "--timeout", "60s")
        user.kubectl("delete", "namespace", self.name, "--timeout=60s")

    def roll_out(self) -> None:
        rollout = ("rollout", "status", self.deployment, "--timeout=90s")
        self.stage.user.kubectl("--namespace", self.name, *rollout)

    def pods(self) -> list[dict[str, Any]]:
        label = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component!=test"
        return self.stage.user.items("pods", "--namespace", self.name, "--selector", label)

    def leader(self) -> str:
        """Return the name of the leading pod; empty if there is none."""
        leases = self.stage.user.items("leases", "--namespace", self.name)
        holders = [lease["spec"].get("holderIdentity") or "" for lease in leases]
        return holders[0].partition("_")[0] if holders else ""

    def another_leader(self, before: str) -> str:
        return eventually(
            lambda: next((name for name in [self.leader()] if name not in ("", before)), ""),
            f"another pod than {before} leads",
        )

    def confinement(self, pod: str) -> dict[str, str]:
        """Return how a pod's process is confined, as it reports itself."""
        command = ("exec", pod, "--", "/opt/venv/bin/python", "-c", _SELF)
        output = self.stage.user.kubectl("--namespace", self.name, *command)
        found: dict[str, str] = json.loads(output)
        return found

    def start_seconds(self, pod: dict[str, Any]) -> dict[str, float]:
        """Return the seconds from a container's start, which has a resolution of a second."""
        began = datetime.fromisoformat(
            pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        )
        moments = {
            "first line of its log": self._log_time(pod, ""),
            "leading": self._log_time(pod, "Became the leader as"),
        }
        for condition in pod["status"]["conditions"]:
            if condition["type"] == "Ready":
                moments["ready"] = datetime.fromisoformat(condition["lastTransitionTime"])
        return {
            what: round((moment - began).total_seconds(), 1)
            for what, moment in moments.items()
            if moment is not None
        }

    def _log_time(self, pod: dict[str, Any], text: str) -> datetime | None:
        log = ("logs", pod["metadata"]["name"], "--timestamps")
        for line in self.stage.user.kubectl("--namespace", self.name, *log).splitlines():
            if text in line:
                return datetime.fromisoformat(line.split()[0])
        return None
