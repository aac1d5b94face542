"""Argo CD and Helm see the health of cluster-scoped resources as they see that of the others."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.cluster_tokens.conftest import StartFleetOperator
from tests.support.api import eventually
from tests.support.argo_cd import PATCH
from tests.support.argo_cd_lua import run
from tests.support.chart import helm
from tests.support.cluster import Cluster
from tests.support.documented import CLUSTER_KIND, GROUP, VERSION
from tests.support.fleet import LABEL, TARGET, Fleet
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs("helm", *Cluster.PROGRAMS)

DATA: dict[str, str] = yaml.safe_load(PATCH.read_text("utf-8"))["data"]
HEALTH = DATA[f"resource.customizations.health.{GROUP}_{CLUSTER_KIND}"]
ACTIONS: dict[str, Any] = yaml.safe_load(
    DATA[f"resource.customizations.actions.{GROUP}_{CLUSTER_KIND}"]
)
HELM_TIMEOUT = 120  # seconds; nothing that works takes nearly as long


def health(fleet: Fleet) -> str:
    return str(run(HEALTH, fleet.resource())["status"])


def message(fleet: Fleet) -> str:
    return str(run(HEALTH, fleet.resource())["message"])


def until_healthy(fleet: Fleet) -> None:
    eventually(lambda: health(fleet) == "Healthy", "the resource is healthy")


def enabled_actions(fleet: Fleet) -> set[str]:
    found = run(ACTIONS["discovery.lua"], fleet.resource())
    return {name for name, action in found.items() if not action["disabled"]}


def act(fleet: Fleet, name: str) -> None:
    """Run an action, and write what it changes."""
    (script,) = [one["action.lua"] for one in ACTIONS["definitions"] if one["name"] == name]
    after = run(script, fleet.resource())
    annotations = after["metadata"].get("annotations") or {}
    suspend = after["spec"].get("suspend", False)
    fleet.patch({"metadata": {"annotations": annotations}, "spec": {"suspend": suspend}})


def test_new_resource_is_progressing_until_it_is_healthy(
    fleet: Fleet, start: StartFleetOperator
) -> None:
    fleet.add("team")
    fleet.create()
    assert fleet.status() == {"observedGeneration": -1}
    assert health(fleet) == "Progressing"

    start()

    until_healthy(fleet)
    assert fleet.condition("Ready")[0] == "True"


def test_resource_is_degraded_when_credentials_are_rejected(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    endpoint.mode = "401"
    fleet.add("team")
    fleet.create()

    start()

    eventually(lambda: health(fleet) == "Degraded", "the resource is degraded")
    assert fleet.condition("Stalled") == ("True", "Rejected")
    assert "rejected" in message(fleet)


def test_resource_with_a_failed_copy_is_healthy_and_says_so(
    fleet: Fleet, start: StartFleetOperator
) -> None:
    fleet.add("good")
    taken = fleet.add("taken")
    fleet.kube.create_secret(taken, TARGET, {"password": "x"})
    fleet.create()

    start()

    eventually(lambda: fleet.condition("TargetsReady")[0] == "False", "a copy failed")
    until_healthy(fleet)
    assert taken in message(fleet)


def test_actions_suspend_resume_and_refresh(
    fleet: Fleet, start: StartFleetOperator, endpoint: TokenEndpoint
) -> None:
    fleet.add("team")
    fleet.create()
    start()
    until_healthy(fleet)
    assert enabled_actions(fleet) == {"refresh", "suspend"}

    act(fleet, "suspend")
    eventually(lambda: health(fleet) == "Suspended", "the resource is suspended")
    assert enabled_actions(fleet) == {"resume"}
    act(fleet, "resume")
    until_healthy(fleet)
    assert endpoint.exchanges == 1
    act(fleet, "refresh")

    eventually(lambda: endpoint.exchanges == 2, "another token is fetched")
    requested = fleet.resource()["metadata"]["annotations"][f"{GROUP}/refresh-requested-at"]
    eventually(
        lambda: fleet.status().get("lastHandledRefreshRequest") == requested,
        "the request is handled",
    )


def install(cluster: Cluster, fleet: Fleet, directory: Path) -> tuple[str, float]:
    """Install a chart that has the resource, as Helm 4 and Flux wait for it.

    Returns:
        What helm complained of, and how long it took in seconds.
    """
    (directory / "templates").mkdir(parents=True)
    metadata = {"apiVersion": "v2", "name": "platform", "version": "0.1.0"}
    (directory / "Chart.yaml").write_text(json.dumps(metadata), "utf-8")
    resource = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": CLUSTER_KIND,
        "metadata": {"name": fleet.name},
        "spec": {
            "credentialsSecretRef": {"name": "account"},
            "namespaceSelector": {"matchLabels": {LABEL: fleet.label}},
            "target": {"name": TARGET},
        },
    }
    (directory / "templates" / "resource.yaml").write_text(json.dumps(resource), "utf-8")
    begun = time.monotonic()
    answer = helm(
        *("install", "platform", str(directory), "--namespace", fleet.operators, "--wait"),
        *("--timeout", f"{HELM_TIMEOUT}s", "--kubeconfig", str(cluster.kubeconfig)),
    )
    assert (answer.returncode != 0) == bool(answer.stderr), answer.stderr
    return answer.stderr, time.monotonic() - begun


def test_helm_waits_until_the_cluster_resource_is_ready(
    cluster: Cluster, fleet: Fleet, start: StartFleetOperator, tmp_path: Path
) -> None:
    namespace = fleet.add("team")
    start()

    problem, _ = install(cluster, fleet, tmp_path / "platform")

    assert problem == ""
    assert fleet.condition("Ready")[0] == "True"
    assert fleet.token(namespace)


def test_helm_fails_at_once_when_credentials_are_rejected(
    cluster: Cluster,
    fleet: Fleet,
    start: StartFleetOperator,
    endpoint: TokenEndpoint,
    tmp_path: Path,
) -> None:
    endpoint.mode = "401"
    fleet.add("team")
    start()

    problem, seconds = install(cluster, fleet, tmp_path / "platform")

    assert fleet.name in problem
    assert seconds < HELM_TIMEOUT / 2
    assert fleet.condition("Stalled") == ("True", "Rejected")
