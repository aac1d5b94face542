"""A release is installed, upgraded, rolled back and uninstalled on a real API server."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.chart import CHART, helm, row
from tests.support.cluster import Cluster
from tests.support.repository import ROOT

pytestmark = pytest.mark.programs("helm", *Cluster.PROGRAMS)

RELEASE = NAMESPACE = "pinecone-token-operator"
HERE = ("--namespace", NAMESPACE)
DEFINITION = "pineconeaccesstokens.pinecone.token-operator.dev"

Helm = Callable[..., str]


def run_helm(cluster: Cluster) -> Helm:
    def run(*arguments: str) -> str:
        answer = helm(*arguments, *HERE, "--kubeconfig", str(cluster.kubeconfig))
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    return run


def names(cluster: Cluster, kinds: str) -> set[str]:
    found = cluster.kubectl(*HERE, "get", kinds, "-o", "name").split()
    return {name for name in found if RELEASE in name}


def deployment(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        cluster.kubectl(*HERE, "get", "deployment", RELEASE, "-o", "json")
    )["spec"]
    return found


def test_release_installs_upgrades_rolls_back_and_uninstalls(empty_cluster: Cluster) -> None:
    run = run_helm(empty_cluster)
    run("install", RELEASE, str(CHART), "--create-namespace")
    empty_cluster.kubectl("wait", "--for=condition=Established", "crd", DEFINITION)
    assert deployment(empty_cluster)["replicas"] == 2

    # Fields of one strategy must not be left over in the other: the API server rejects that.
    run("upgrade", RELEASE, str(CHART), *row("single-replica"))
    assert deployment(empty_cluster)["strategy"] == {"type": "Recreate"}
    assert names(empty_cluster, "role,rolebinding,poddisruptionbudget") == set()
    run("rollback", RELEASE)
    assert deployment(empty_cluster)["strategy"]["type"] == "RollingUpdate"
    assert deployment(empty_cluster)["replicas"] == 2
    assert len(names(empty_cluster, "role,rolebinding,poddisruptionbudget")) == 3

    resource = (ROOT / "examples" / "access-token.yaml").read_text("utf-8")
    empty_cluster.kubectl("apply", "-f", "-", input=resource)
    output = run("uninstall", RELEASE)

    assert f"[CustomResourceDefinition] {DEFINITION}" in output
    everything = "all,role,rolebinding,poddisruptionbudget,serviceaccount,secret,configmap"
    assert names(empty_cluster, everything) == set()
    assert names(empty_cluster, "clusterrole,clusterrolebinding") == set()
    # The resources stay, and can be deleted without the operator.
    assert "pinecone-access-token" in empty_cluster.kubectl("get", "pineconeaccesstokens")
    empty_cluster.kubectl("delete", "pineconeaccesstokens", "--all", "--timeout=10s")

    # A new release adopts the CRD that was kept.
    run("install", RELEASE, str(CHART), "--set", "crds.keep=false")
    output = run("uninstall", RELEASE)
    assert "CustomResourceDefinition" not in output
    empty_cluster.kubectl("wait", "--for=delete", "crd", DEFINITION, "--timeout=30s")


def test_crd_applied_by_hand_is_adopted_with_take_ownership(empty_cluster: Cluster) -> None:
    empty_cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    arguments = ("install", RELEASE, str(CHART), "--create-namespace")
    refused = helm(*arguments, *HERE, "--kubeconfig", str(empty_cluster.kubeconfig))
    assert "cannot be imported into the current release" in refused.stderr

    run_helm(empty_cluster)(*arguments, "--take-ownership")
    assert "Helm" in empty_cluster.kubectl("get", "crd", DEFINITION, "-o", "yaml")


def test_kept_crds_are_adopted_by_a_release_of_another_name(empty_cluster: Cluster) -> None:
    run = run_helm(empty_cluster)
    run("install", RELEASE, str(CHART), "--create-namespace")
    empty_cluster.kubectl("wait", "--for=condition=Established", "crd", DEFINITION)
    resource = (ROOT / "examples" / "access-token.yaml").read_text("utf-8")
    empty_cluster.kubectl("apply", "-f", "-", input=resource)
    run("uninstall", RELEASE)
    arguments = ("install", "tokens", str(CHART), "--namespace", "elsewhere")
    kubeconfig = ("--create-namespace", "--kubeconfig", str(empty_cluster.kubeconfig))

    refused = helm(*arguments, *kubeconfig)
    assert 'must equal "tokens"' in refused.stderr
    adopted = helm(*arguments, *kubeconfig, "--take-ownership")

    assert adopted.returncode == 0, adopted.stderr
    assert "pinecone-access-token" in empty_cluster.kubectl("get", "pineconeaccesstokens")
    owner = empty_cluster.kubectl(
        *("get", "crd", DEFINITION, "-o"),
        r"jsonpath={.metadata.annotations.meta\.helm\.sh/release-namespace}",
    )
    assert owner == "elsewhere"
    # From now on the new release upgrades it.
    upgrade = helm("upgrade", *arguments[1:], *kubeconfig[1:])
    assert upgrade.returncode == 0, upgrade.stderr
