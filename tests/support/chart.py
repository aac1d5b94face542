"""Renders the chart with helm, and applies its RBAC to a test cluster."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import yaml

from tests.support.cluster import Cluster
from tests.support.control_plane import binaries
from tests.support.repository import ROOT

CHART = ROOT / "charts" / "pinecone-token-operator"
VALUES = ROOT / "tests" / "chart" / "values"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
RELEASE = "release"
NAMESPACE = "chart-operator"

# Files of values that together cover every branch of the templates.
ROWS = sorted(path.stem for path in VALUES.glob("*.yaml"))


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm and return its result."""
    return subprocess.run(
        [str(binaries("helm")["helm"]), *arguments], check=False, capture_output=True, text=True
    )


def template(*options: str) -> subprocess.CompletedProcess[str]:
    """Run `helm template` for the newest Kubernetes and return its result."""
    command = ("template", RELEASE, str(CHART), "--namespace", NAMESPACE)
    return helm(*command, "--kube-version", "1.37.2", *options)


def render(*options: str) -> str:
    """Return the rendered chart."""
    answer = template(*options)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def objects(*options: str) -> list[dict[str, Any]]:
    """Return the rendered objects, including those of `helm test`."""
    return parse(render(*options))


def parse(rendered: str) -> list[dict[str, Any]]:
    """Return the objects in what helm rendered."""
    # The loader in C, where there is one: parsing took longer than rendering.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [found for found in yaml.load_all(rendered, loader) if found]


def row(name: str) -> tuple[str, str]:
    """Return the helm options for a file of values."""
    return ("--values", str(VALUES / f"{name}.yaml"))


def of_kind(found: list[dict[str, Any]], kind: str, suffix: str = "") -> dict[str, Any]:
    """Return the only object of a kind with this name suffix, ignoring those of `helm test`."""
    (only,) = [
        each
        for each in found
        if each["kind"] == kind
        and each["metadata"]["name"].endswith(f"pinecone-token-operator{suffix}")
        and "helm.sh/hook" not in each["metadata"].get("annotations", {})
    ]
    return only


def install_rights(
    cluster: Cluster, namespace: str, name: str, options: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Apply only the operator's ServiceAccount and RBAC objects, and return them.

    Args:
        cluster: the cluster to apply to.
        namespace: the release namespace.
        name: the name of the ServiceAccount and the RBAC objects.
        options: further options of `helm template`.
    """
    chosen = ["--namespace", namespace, "--set", f"fullnameOverride={name}"]
    # Without the roles of users and of helm test.
    chosen += ["--set", "rbac.aggregateClusterRoles=false,helmTest.enabled=false"]
    wanted = [
        found
        for found in objects(*chosen, *options)
        if found["kind"] == "ServiceAccount" or "rbac" in found["apiVersion"]
    ]
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(wanted))
    return wanted


def service_account_token(cluster: Cluster, namespace: str, name: str) -> str:
    """Return a ServiceAccount token that outlives any test."""
    arguments = ("create", "token", "--namespace", namespace, "--duration=24h", name)
    return cluster.kubectl(*arguments).strip()
