"""Step 8: the sidecar in pods, without the operator: gate, Job, restart, rotation."""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.e2e.place import PYTHON, SCRIPT, SCRIPT_VOLUME, Place
from tests.e2e.readings import Readings, fingerprint, parse, shortest_left
from tests.e2e.stage import CLIENT, ROTATED, SECRET, Stage, say
from tests.e2e.user import eventually
from tests.support.repository import ROOT

CREDENTIALS = "pinecone-service-account"
_CA = {"name": "endpoint-ca", "mountPath": "/var/run/endpoint", "readOnly": True}
_LABEL = "app.kubernetes.io/name=pinecone-sidecar"


def run(stage: Stage, seconds: float) -> None:
    """Run all steps in a namespace of their own, with the strictest Pod Security.

    Args:
        stage: the cluster.
        seconds: how long the file is read in total.
    """
    team = SidecarTeam(stage, "sidecars")
    before = len(stage.endpoint.tokens)
    team.set_up()
    with stage.step("8. sidecar: the application starts after the token"):
        _gate(stage, team)
    started = time.monotonic()
    with stage.step("8. sidecar: a Job completes"):
        _job(team)
    with stage.step("8. sidecar: its container restarts"):
        _restart(stage, team)
    with stage.step("8. sidecar: the credentials are rotated"):
        _rotate(stage, team)
    with stage.step("8. sidecar: watch the file"):
        time.sleep(max(0.0, started + seconds - time.monotonic()))
        _judge(stage, team, before)
    stage.assert_no_leak("after the sidecars")
    team.delete()


@dataclass(frozen=True, slots=True)
class SidecarTeam(Place):
    """A team that uses the examples of the sidecar."""

    def set_up(self) -> None:
        """Create the namespace, the endpoint's CA and the credentials."""
        self.create()
        ca = f"--from-file=ca.crt={self.stage.endpoint.ca_bundle}"
        self.kubectl("create", "configmap", "endpoint-ca", ca)
        self.write_credentials(SECRET)

    def write_credentials(self, secret: str) -> None:
        data = {"client_id": CLIENT, "client_secret": secret}
        self.stage.user.apply(
            self.namespace,
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": CREDENTIALS},
                "data": {
                    name: base64.b64encode(value.encode()).decode() for name, value in data.items()
                },
            },
        )

    def deploy(self, example: str, **replaced: object) -> None:
        """Apply an example with the image and the endpoint of this cluster.

        Args:
            example: the file's name.
            replaced: fields of the application's container.
        """
        found = yaml.safe_load((ROOT / "examples" / example).read_text("utf-8"))
        pod = found["spec"]["template"]["spec"]
        (sidecar,), (application,) = pod["initContainers"], pod["containers"]
        sidecar["image"] = application["image"] = self.stage.image
        endpoint = [
            f"--token-url={self.stage.endpoint.url}",
            "--ca-bundle=/var/run/endpoint/ca.crt",
        ]
        sidecar["args"] += endpoint
        sidecar["volumeMounts"].append(_CA)
        application |= replaced
        application["volumeMounts"].append(SCRIPT)
        pod["volumes"].append({"name": "endpoint-ca", "configMap": {"name": "endpoint-ca"}})
        pod["volumes"].append(SCRIPT_VOLUME)
        self.stage.user.apply(self.namespace, found)

    def pod(self) -> dict[str, Any]:
        """Return the Deployment's pod; empty if there is none yet."""
        found = self.stage.user.items("pods", "--namespace", self.namespace, "--selector", _LABEL)
        return found[0] if found else {}

    def sidecar(self) -> Mapping[str, Any]:
        """Return the status of the pod's sidecar; empty if there is none yet."""
        statuses = self.pod().get("status", {}).get("initContainerStatuses") or [{}]
        first: Mapping[str, Any] = statuses[0]
        return first

    def log(self) -> str:
        """Return the log of the pod's sidecar, since its latest start."""
        name = self.pod()["metadata"]["name"]
        return self.kubectl("logs", name, "--container", "pinecone-token")

    def readings(self) -> list[Readings]:
        log = self.kubectl("logs", self.pod()["metadata"]["name"], "--container", "application")
        return [parse(log)] if log else []


def _gate(stage: Stage, team: SidecarTeam) -> None:
    """The application waits while the endpoint is down, and starts with a token after it is up."""
    stage.endpoint.mode = "down"
    command = [PYTHON, "-I", "/reader/reader.py", "/var/run/pinecone"]
    team.deploy("sidecar-deployment.yaml", command=command, args=[])
    eventually(lambda: "running" in team.sidecar().get("state", {}), "the sidecar runs", 90.0)
    name = team.pod()["metadata"]["name"]
    eventually(
        lambda: (
            "Failed to fetch a token" in team.kubectl("logs", name, "--container", "pinecone-token")
        ),
        "the sidecar has tried",
    )
    time.sleep(3)
    status = team.pod()["status"]
    assert not team.sidecar()["started"]
    assert all("waiting" in one["state"] for one in status["containerStatuses"]), status

    stage.endpoint.mode = "ok"
    up = time.monotonic()
    available = ("--for=condition=Available", "deployment/pinecone-sidecar", "--timeout=90s")
    team.kubectl("wait", *available)
    eventually(team.readings, "the application reads")
    stage.found["sidecar: seconds from the endpoint being up to the application reading"] = round(
        time.monotonic() - up, 1
    )
    assert team.sidecar()["restartCount"] == 0
    (statuses,) = team.pod()["status"]["containerStatuses"]
    assert statuses["restartCount"] == 0, "the application had to be restarted"


def _job(team: SidecarTeam) -> None:
    script = "import pathlib; print(pathlib.Path('/var/run/pinecone/expires_at').read_text())"
    team.deploy("sidecar-job.yaml", command=[PYTHON, "-I", "-c", script])
    team.kubectl("wait", "--for=condition=Complete", "job/pinecone-sidecar", "--timeout=90s")
    assert team.kubectl("logs", "job/pinecone-sidecar", "--container", "job").startswith("20")
    (pod,) = team.stage.user.items(
        "pods",
        "--namespace",
        team.namespace,
        "--selector",
        "app.kubernetes.io/name=pinecone-sidecar-job",
    )
    (sidecar,) = pod["status"]["initContainerStatuses"]
    assert sidecar["state"]["terminated"]["exitCode"] == 0, "the sidecar did not stop gracefully"


def _restart(stage: Stage, team: SidecarTeam) -> None:
    """A container that restarts finds its token in the files."""
    before, exchanges = team.sidecar()["restartCount"], len(stage.endpoint.tokens)
    code = "import os, signal; os.kill(1, signal.SIGINT)"
    name = team.pod()["metadata"]["name"]
    team.kubectl("exec", name, "--container", "pinecone-token", "--", PYTHON, "-c", code)
    eventually(lambda: team.sidecar()["restartCount"] > before, "a restart", 90.0)
    eventually(lambda: "Found a token" in team.log(), "the sidecar has its token")
    assert len(stage.endpoint.tokens) == exchanges, "a restart caused an exchange"


def _rotate(stage: Stage, team: SidecarTeam) -> None:
    """New credentials reach the sidecar through the kubelet, and the token follows."""
    stage.endpoint.credentials = {CLIENT: ROTATED}
    began = time.monotonic()
    exchanges = stage.endpoint.exchanges
    team.write_credentials(ROTATED)
    eventually(lambda: stage.endpoint.exchanges > exchanges, "an exchange", 150.0)
    eventually(
        lambda: fingerprint(stage.endpoint.tokens[-1]) in team.readings()[0].changes,
        "the application reads the new token",
    )
    stage.found["sidecar: seconds from rotating the Secret to a new token in the file"] = round(
        time.monotonic() - began, 1
    )


def _judge(stage: Stage, team: SidecarTeam, before: int) -> None:
    readings = team.readings()
    shift = time.time() - time.monotonic()
    expiries = {
        fingerprint(token): issue.expires_at + shift
        for token, issue in stage.endpoint.issued.items()
    }
    left = shortest_left(readings, expiries)
    stage.found |= {
        "sidecar: shortest remaining lifetime in the file, s": round(left, 1),
        "sidecar: changes read": sum(len(one.changes) - 1 for one in readings),
        "sidecar: exchanges of all its pods": len(stage.endpoint.tokens) - before,
    }
    say(f"sidecar: shortest remaining lifetime in the file: {left:.1f} s")
    assert left > 0, "an expired token was read"
    assert len(readings[0].changes) >= 2, "no refresh was read"
