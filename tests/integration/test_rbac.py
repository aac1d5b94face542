"""The rights that the chart grants are enough, and the operator asks for nothing beyond them."""

import base64
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.api import Kube, eventually, secret_path
from tests.support.audit import AuditLog, Request
from tests.support.cluster import Cluster
from tests.support.control_plane import binaries
from tests.support.kubeconfig import write_kubeconfig
from tests.support.operator_process import Operator
from tests.support.token_endpoint import TokenEndpoint

CHART = Path(__file__).resolve().parents[2] / "charts" / "pinecone-token-operator"

Right = tuple[str, str]  # resource and verb


@pytest.mark.parametrize("scope", ["in all namespaces", "in one namespace"])
def test_the_granted_rights_are_enough(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    tmp_path: Path,
    scope: str,
) -> None:
    watched = [] if scope == "in all namespaces" else [namespace]
    granted = install(cluster, namespace, watched)
    audit = AuditLog(cluster.audit_log)
    mark = audit.mark()
    operator = Operator(
        service_account_kubeconfig(cluster, namespace, tmp_path),
        endpoint.url,
        endpoint.ca_bundle,
        tmp_path / "operator",
        namespaces=watched,
    )
    with operator:
        operator.wait_ready()
        kube.create_credentials(namespace)
        kube.create_token(namespace)
        first = eventually(lambda: kube.secret(namespace, "search"), "a first token")
        # Beside the first token, which is created, one that is written over.
        changed = {"data": {"client_secret": base64.b64encode(b"changed").decode()}}
        kube.patch(secret_path(namespace, "account"), changed)
        eventually(
            lambda: kube.secret(namespace, "search") not in (None, first),
            "a token by the new secret",
        )
        kube.delete(secret_path(namespace, "search"))
        eventually(lambda: kube.secret(namespace, "search"), "the target is back")
        for _ in range(2):  # the second Event of a kind is counted up
            kube.delete(secret_path(namespace, "account"))
            eventually(lambda: refreshed(kube, namespace) == "False", "the failure is told")
            kube.create_credentials(namespace)
            eventually(lambda: refreshed(kube, namespace) == "True", "and its end")
        assert operator.stop() == 0

    # Neither too little nor too much. The audit log tells of a watch once it has ended.
    eventually(
        lambda: used(audit.since(mark)) == granted,
        f"all of {sorted(granted)} used, and nothing else",
    )
    assert operator.errors() == []
    assert [one for one in audit.since(mark) if one.code in (401, 403)] == []
    if watched:
        assert {one.namespace for one in audit.since(mark) if one.resource} <= {namespace}


def refreshed(kube: Kube, namespace: str) -> str:
    condition = kube.condition(namespace, "search", "Refreshed") or {}
    return str(condition.get("status"))


def used(requests: list[Request]) -> set[Right]:
    """Return what was asked for; paths that everybody may read are no resource."""
    return {
        (f"{one.resource}/{one.subresource}".rstrip("/"), one.verb)
        for one in requests
        if one.resource
    }


def install(cluster: Cluster, namespace: str, watched: list[str]) -> set[Right]:
    """Apply the chart's service account and rights, nothing else of it; return the rights."""
    options = ["--set", f"watchNamespaces={{{','.join(watched)}}}"] if watched else []
    command = [str(binaries("helm")["helm"]), "template", namespace, str(CHART)]
    command += ["--namespace", namespace]
    rendered = subprocess.run(
        [*command, "--set", "fullnameOverride=operator", *options, "--kube-version", "1.37.2"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    wanted = [
        found
        for found in yaml.safe_load_all(rendered)
        if found and (found["kind"] == "ServiceAccount" or "rbac" in found["apiVersion"])
    ]
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(wanted))
    return {
        (resource, verb)
        for found in wanted
        for rule in found.get("rules", ())
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def service_account_kubeconfig(cluster: Cluster, namespace: str, directory: Path) -> Path:
    """Return a kubeconfig of the service account, without the rights of the cluster's own."""
    token = cluster.kubectl("create", "token", "-n", namespace, "operator").strip()
    return write_kubeconfig(
        directory / "kubeconfig", cluster.url, cluster.ca_file, {"token": token}
    )
