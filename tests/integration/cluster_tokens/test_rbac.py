"""The chart's rules for cluster-scoped tokens are sufficient, and all of them are used."""

import base64
from pathlib import Path

import pytest

from tests.integration.chart.test_rbac import used
from tests.support.api import Kube, eventually, secret_path
from tests.support.audit import AuditLog
from tests.support.chart import install_rights, service_account_token
from tests.support.cluster import Cluster
from tests.support.fleet import TARGET, Fleet, cluster_token_path
from tests.support.kubeconfig import write_kubeconfig
from tests.support.operator_process import Operator
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs("helm", *Cluster.PROGRAMS)

OF_THE_NAMESPACED_KIND = {
    (resource, verb)
    for resource, verbs in (
        ("pineconeaccesstokens", ("get", "list", "watch")),
        ("pineconeaccesstokens/status", ("patch",)),
        ("leases", ("create", "get", "watch", "update")),
    )
    for verb in verbs
}


@pytest.mark.parametrize("scope", ["in all namespaces", "in selected namespaces"])
def test_operator_uses_exactly_the_granted_rules(
    cluster: Cluster,
    kube: Kube,
    fleet: Fleet,
    endpoint: TokenEndpoint,
    tmp_path: Path,
    scope: str,
) -> None:
    first, second = fleet.add("first"), fleet.add("second")
    third = fleet.add("third", labelled=False)
    watched = [] if scope == "in all namespaces" else [first, second, third]
    options = ["--set", "clusterAccessTokens.enabled=true"]
    if watched:
        options += ["--set", f"watchNamespaces={{{','.join(watched)}}}"]
    granted = {
        (resource, verb)
        for found in install_rights(cluster, fleet.operators, fleet.name, options)
        for rule in found.get("rules", ())
        for resource in rule["resources"]
        for verb in rule["verbs"]
    } - OF_THE_NAMESPACED_KIND
    user = {"token": service_account_token(cluster, fleet.operators, fleet.name)}
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", cluster.url, cluster.ca_file, user)
    audit = AuditLog(cluster.audit_log)
    mark = audit.mark()
    operator = Operator(
        kubeconfig,
        endpoint.url,
        endpoint.ca_bundle,
        tmp_path / "operator",
        namespaces=watched,
        options=(
            "--enable-cluster-access-tokens",
            f"--cluster-resource-namespace={fleet.operators}",
        ),
    )
    with operator:
        operator.wait_ready()
        fleet.create()
        fleet.until_ready("2/2")
        fleet.select(third)
        fleet.until_copied(third)
        fleet.unselect(third)
        fleet.until_removed(third)
        # A copy that vanished makes the operator ask whether its resource is still there.
        fleet.kube.delete(secret_path(second, TARGET))
        fleet.until_copied(second)
        changed = {"data": {"client_secret": base64.b64encode(b"changed").decode()}}
        kube.patch(secret_path(fleet.operators, "account"), changed)
        eventually(lambda: endpoint.exchanges == 2, "changed credentials are used")
        for _ in range(2):  # the second Event of a kind increments a count
            kube.delete(secret_path(fleet.operators, "account"))
            fleet.until_condition("Refreshed", "False", "CredentialsNotFound")
            kube.create_credentials(fleet.operators)
            fleet.until_condition("Refreshed", "True", "Succeeded")
        kube.delete(cluster_token_path(fleet.name))
        assert operator.stop() == 0

    def used_rules() -> set[tuple[str, str]]:
        return used(audit.since(mark)) - OF_THE_NAMESPACED_KIND

    eventually(lambda: used_rules() == granted, f"exactly {sorted(granted)} used", 20)
    assert operator.errors() == []
    ours = {"", "default", fleet.operators, *fleet.namespaces}
    refused = [one for one in audit.since(mark) if one.code in (401, 403) and one.namespace in ours]
    assert refused == []
    deleted = {one.namespace for one in audit.since(mark) if one.verb == "delete"}
    assert deleted == {third}
