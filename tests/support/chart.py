"""What the chart grants, applied to a cluster of tests."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import Cluster
from tests.support.control_plane import binaries

CHART = Path(__file__).resolve().parents[2] / "charts" / "pinecone-token-operator"

_KUBERNETES = "1.37.2"


def install_rights(
    cluster: Cluster, namespace: str, name: str, options: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Apply the chart's service account and rights, nothing else of it; return what was applied.

    Args:
        cluster: where to.
        namespace: the release's.
        name: what the service account and the rest are called.
        options: further ones of `helm template`.
    """
    command = [str(binaries("helm")["helm"]), "template", name, str(CHART)]
    command += ["--namespace", namespace, "--set", f"fullnameOverride={name}"]
    command += [*options, "--kube-version", _KUBERNETES]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wanted = [
        found
        for found in yaml.safe_load_all(rendered)
        if found and (found["kind"] == "ServiceAccount" or "rbac" in found["apiVersion"])
    ]
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(wanted))
    return wanted


def service_account_token(cluster: Cluster, namespace: str, name: str) -> str:
    """Return a token of a service account that outlives any test."""
    arguments = ("create", "token", "--namespace", namespace, "--duration=24h", name)
    return cluster.kubectl(*arguments).strip()
