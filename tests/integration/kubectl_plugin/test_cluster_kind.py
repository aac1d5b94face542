"""Commands on a ClusterPineconeAccessToken, whose status is as an operator writes it."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.api import Kube
from tests.support.chart import install_rights, objects
from tests.support.cluster import Cluster
from tests.support.crd import cluster_with_crd, install_crd
from tests.support.documented import CLUSTER_PLURAL, GROUP, VERSION
from tests.support.kubectl_plugin import Plugin
from tests.support.repository import CLUSTER_CRD
from tests.support.restored import restored

PATH = f"/apis/{GROUP}/{VERSION}/{CLUSTER_PLURAL}"

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_with_crd(tmp_path_factory.mktemp("cluster"), audit=False) as cluster:
        install_crd(cluster, CLUSTER_CRD, CLUSTER_PLURAL)
        yield cluster


@pytest.fixture
def kube(own_cluster: Cluster) -> Iterator[Kube]:
    with Kube(own_cluster) as client, restored(client):
        yield client


@pytest.fixture
def plugin(own_cluster: Cluster, kube: Kube, tmp_path: Path) -> Plugin:
    create(kube)
    return Plugin(own_cluster.kubeconfig, tmp_path, "default", forked=True)


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


def deploy(cluster: Cluster, *values: str) -> None:
    """Create the chart's Deployment, which gets no pods here."""
    options = ["--set", ",".join(("fullnameOverride=operator", *values)), "--namespace=default"]
    deployment = next(each for each in objects(*options) if each["kind"] == "Deployment")
    cluster.kubectl("apply", "-f", "-", input=json.dumps(deployment))


def lacking(plugin: Plugin) -> str:
    """Return what `doctor` says about the operator's permissions."""
    found = plugin.run("doctor", "cpat/shared").stdout
    return "\n".join(line for line in found.splitlines() if "lacks permissions" in line)


@pytest.mark.programs("helm")
@pytest.mark.parametrize("watched", ["", "watchNamespaces={team-a,team-b}"])
def test_doctor_finds_missing_rights_of_cluster_scoped_tokens(
    watched: str, own_cluster: Cluster, kube: Kube, plugin: Plugin
) -> None:
    for name in ("team-a", "team-b"):
        kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    values = ["clusterAccessTokens.enabled=true", *([watched] if watched else [])]
    deploy(own_cluster, *values)

    without = lacking(plugin)
    install_rights(own_cluster, "default", "operator", ["--set", ",".join(values)])
    with_rights = lacking(plugin)
    own_cluster.kubectl("delete", "clusterrolebinding", "operator-cluster-access-tokens")
    with_some = lacking(plugin)

    kinds = (
        "get clusterpineconeaccesstokens, list clusterpineconeaccesstokens,"
        " watch clusterpineconeaccesstokens, patch clusterpineconeaccesstokens/status"
    )
    writes = "create secrets, patch secrets, delete secrets"
    assert f"lacks permissions in all namespaces: {kinds}, list namespaces" in without
    assert "in namespace default: get secrets, list secrets, watch secrets" in without
    assert ("in namespace team-b: get secrets" in without) is bool(watched)
    assert ("watch namespaces team-b" in without) is bool(watched)
    assert writes in without
    assert with_rights == ""
    assert f"lacks permissions in all namespaces: {kinds}, list namespaces" in with_some
    assert "secrets" not in with_some


@pytest.mark.programs("helm")
def test_doctor_finds_that_no_operator_serves_the_cluster_kind(
    own_cluster: Cluster, plugin: Plugin
) -> None:
    nobody = "no operator serves ClusterPineconeAccessTokens"
    deploy(own_cluster)
    without = plugin.run("doctor", "cpat/shared")
    deploy(own_cluster, "clusterAccessTokens.enabled=true")
    enabled = plugin.run("doctor", "cpat/shared")

    assert without.returncode == 1
    assert nobody in without.stdout
    assert nobody not in enabled.stdout


def test_doctor_finds_a_webhook_where_a_copy_failed(kube: Kube, plugin: Plugin) -> None:
    kube.create(
        "/api/v1/namespaces", {"metadata": {"name": "team-b", "labels": {"webhook": "yes"}}}
    )
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["secrets"],
        "operations": ["CREATE"],
    }
    webhook = {
        "name": "gone.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": {"namespace": "default", "name": "gone"}},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"webhook": "yes"}},
    }
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    kube.create(path, {"metadata": {"name": "gone"}, "webhooks": [webhook]})

    done = plugin.run("doctor", "cpat/shared")

    assert "ERROR    Webhook gone.example.com" in done.stdout
