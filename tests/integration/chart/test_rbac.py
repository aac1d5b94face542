"""The chart's RBAC rules are sufficient, and the operator uses all of them and no others."""

import base64
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.support.api import Kube, eventually, secret_path
from tests.support.audit import AuditLog, Request
from tests.support.chart import install_rights, service_account_token
from tests.support.cluster import Cluster
from tests.support.kubeconfig import write_kubeconfig
from tests.support.operator_process import Operator
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs("helm")

Right = tuple[str, str]  # resource and verb


@pytest.mark.parametrize("scope", ["in all namespaces", "in one namespace"])
def test_operator_uses_exactly_the_granted_rules(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    tmp_path: Path,
    scope: str,
) -> None:
    watched = [] if scope == "in all namespaces" else [namespace]
    granted = install(cluster, namespace, watched)
    user = {"token": service_account_token(cluster, namespace, "operator")}
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", cluster.url, cluster.ca_file, user)
    audit = AuditLog(cluster.audit_log)
    mark = audit.mark()
    election = ("--leader-elect", f"--leader-election-namespace={namespace}")
    leader, other = (
        Operator(
            kubeconfig,
            endpoint.url,
            endpoint.ca_bundle,
            tmp_path / name,
            namespaces=watched,
            options=(*election, "--leader-election-lease-name=operator"),
        )
        for name in ("leader", "other")
    )
    with leader:
        leader.wait_ready()
        eventually(lambda: leader.metric("pinecone_token_leader") == 1, "the first replica leads")
        with other:  # the standby, which watches the Lease
            other.wait_ready()
            kube.create_credentials(namespace)
            kube.create_token(namespace)
            first = eventually(lambda: kube.secret(namespace, "search"), "a first token")
            # The first token creates the Secret, this one patches it.
            changed = {"data": {"client_secret": base64.b64encode(b"changed").decode()}}
            kube.patch(secret_path(namespace, "account"), changed)
            eventually(
                lambda: kube.secret(namespace, "search") not in (None, first),
                "a token for the new client secret",
            )
            kube.delete(secret_path(namespace, "search"))
            eventually(lambda: kube.secret(namespace, "search"), "the target is restored")
            for _ in range(2):  # the second Event of a kind increments a count
                kube.delete(secret_path(namespace, "account"))
                eventually(lambda: refreshed(kube, namespace) == "False", "the failure is reported")
                kube.create_credentials(namespace)
                eventually(lambda: refreshed(kube, namespace) == "True", "the recovery is reported")
            assert other.stop() == 0
        assert leader.stop() == 0

    # The audit log has a watch only once it has ended.
    eventually(
        lambda: used(audit.since(mark)) == granted,
        f"exactly {sorted(granted)} used",
    )
    assert leader.errors() + other.errors() == []
    assert [
        one
        for one in audit.since(mark)
        # Nothing can be created in the namespaces of other tests while they terminate.
        if one.code in (401, 403) and one.namespace in ("", namespace)
    ] == []
    if watched:
        assert {one.namespace for one in audit.since(mark) if one.resource} <= {namespace}


def refreshed(kube: Kube, namespace: str) -> str:
    condition = kube.condition(namespace, "search", "Refreshed") or {}
    return str(condition.get("status"))


def used(requests: list[Request]) -> set[Right]:
    """Return the resources and verbs of the requests, without non-resource URLs."""
    return {
        (f"{one.resource}/{one.subresource}".rstrip("/"), verb)
        for one in requests
        if one.resource
        # A PUT that creates an object is authorized as both, and logged as an update.
        for verb in ({"create", "update"} if created_by_put(one) else {one.verb})
    }


def created_by_put(request: Request) -> bool:
    return request.verb == "update" and request.code == HTTPStatus.CREATED


def install(cluster: Cluster, namespace: str, watched: list[str]) -> set[Right]:
    """Install the operator's RBAC objects and return their rules."""
    options = ["--set", f"watchNamespaces={{{','.join(watched)}}}"] if watched else []
    return {
        (resource, verb)
        for found in install_rights(cluster, namespace, "operator", options)
        for rule in found.get("rules", ())
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
