"""Commands on a ClusterPineconeAccessToken, whose status is as an operator writes it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.api import Kube
from tests.support.cluster import Cluster
from tests.support.crd import cluster_with_crd, install_crd
from tests.support.documented import CLUSTER_PLURAL, GROUP, VERSION
from tests.support.kubectl_plugin import Plugin
from tests.support.repository import CLUSTER_CRD

PATH = f"/apis/{GROUP}/{VERSION}/{CLUSTER_PLURAL}"

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[Kube]:
    with cluster_with_crd(tmp_path / "cluster", audit=False) as cluster:
        install_crd(cluster, CLUSTER_CRD, CLUSTER_PLURAL)
        with Kube(cluster) as client:
            yield client


@pytest.fixture
def plugin(kube: Kube, tmp_path: Path) -> Plugin:
    create(kube)
    return Plugin(tmp_path / "cluster" / "kubeconfig", tmp_path, "default")


def create(kube: Kube) -> None:
    spec = {"credentialsSecretRef": {"name": "account"}, "namespaceSelector": {}}
    kube.create(
        PATH,
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "ClusterPineconeAccessToken",
            "metadata": {"name": "shared"},
            "spec": spec,
        },
    )
    now = datetime.now(UTC)
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    failed = {"namespace": "team-b", "reason": "TargetNotOwned", "message": "it is not ours"}
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "why",
            "lastTransitionTime": moment,
        }
        for kind, status, reason in (
            ("Ready", "True", "TokenValid"),
            ("Refreshed", "True", "Succeeded"),
            ("TargetsReady", "False", "TargetNotOwned"),
        )
    ]
    status = {
        "observedGeneration": 1,
        "expiresAt": (now + timedelta(minutes=20)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "targets": {"matched": 12, "ready": 11, "failed": [failed]},
        "conditions": conditions,
    }
    kube.patch(f"{PATH}/shared/status", {"status": status})


def test_commands_know_the_cluster_scoped_kind(kube: Kube, plugin: Plugin) -> None:
    table = plugin.run_as_is("status", "-A")
    screen = plugin.run("status", "cpat/shared")
    found = plugin.run("doctor", "clusterpineconeaccesstoken/shared")
    suspended = plugin.run("suspend", "cpat/shared")

    assert (table.returncode, table.stderr) == (0, "")
    assert re.search(r"^- +cpat/shared +True +True ", table.stdout, re.MULTILINE)
    assert "shared (11/12)   TargetNotOwned: why" in table.stdout
    assert "Ready in:           11 of 12 namespaces" in screen.stdout
    assert "Failed in team-b:   TargetNotOwned: it is not ours" in screen.stdout
    assert found.returncode == 1
    assert "WARNING  ClusterPineconeAccessToken shared" in found.stdout
    assert suspended.stdout.startswith("clusterpineconeaccesstoken/shared suspended")
    assert (kube.get(f"{PATH}/shared") or {})["spec"]["suspend"] is True
    assert plugin.complete("print", "cpat/") == ["cpat/shared", ":4"]
