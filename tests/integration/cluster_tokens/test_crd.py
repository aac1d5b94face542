"""What the CRD rejects, prints and explains, and the policy that the documentation shows."""

import json
import uuid
from typing import Any

import pytest
import yaml

from tests.support.api import KubeError, eventually
from tests.support.cluster import Cluster, ClusterError
from tests.support.documented import CLUSTER_KIND, CLUSTER_PLURAL, GROUP, VERSION
from tests.support.documents import blocks
from tests.support.fleet import LABEL, Fleet, cluster_token_path
from tests.support.repository import ROOT

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)

PAGE = ROOT / "docs" / "cluster-tokens.md"


def expression(**fields: object) -> dict[str, Any]:
    return {"namespaceSelector": {"matchExpressions": [fields]}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param({"namespaceSelector": None}, "namespaceSelector", id="no selector"),
        pytest.param({"credentialsSecretRef": None}, "credentialsSecretRef", id="no credentials"),
        pytest.param(
            {"target": {"name": "account"}}, "name of the credentials Secret", id="same Secret"
        ),
        pytest.param(expression(key="a", operator="In"), "need at least one", id="In without"),
        pytest.param(
            expression(key="a", operator="Exists", values=["1"]), "none", id="Exists with values"
        ),
        pytest.param(expression(key="-", operator="Exists"), "label key", id="bad key"),
        pytest.param(
            {"namespaceSelector": {"matchLabels": {"a": "-"}}}, "label value", id="bad value"
        ),
        pytest.param({"target": {"creationPolicy": "Merge"}}, "unknown field", id="no policies"),
    ],
)
def test_crd_rejects_what_cannot_work(
    cluster: Cluster, fleet: Fleet, spec: dict[str, Any], message: str
) -> None:
    manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": CLUSTER_KIND,
        "metadata": {"name": fleet.name},
        "spec": {"credentialsSecretRef": {"name": "account"}, "namespaceSelector": {}, **spec},
    }
    with pytest.raises(ClusterError) as caught:
        cluster.kubectl("create", "--validate=strict", "-f", "-", input=json.dumps(manifest))
    assert message in str(caught.value)


def test_crd_keeps_the_target_name(fleet: Fleet) -> None:
    fleet.create()
    assert fleet.status() == {"observedGeneration": -1}
    with pytest.raises(KubeError, match=r"target\.name is immutable"):
        fleet.patch({"spec": {"target": {"name": "other"}}})


def test_crd_explains_and_prints(cluster: Cluster, fleet: Fleet) -> None:
    explained = cluster.kubectl("explain", f"{CLUSTER_PLURAL}.spec.namespaceSelector")
    assert "selects all namespaces" in explained
    fleet.create()
    header = cluster.kubectl("get", CLUSTER_PLURAL, fleet.name, "-o", "wide").split("\n")[0]
    assert header.split() == ["NAME", "READY", "TARGETS", "EXPIRES", "REFRESH", "AGE", "REASON"]


def test_documented_policy_protects_the_label(fleet: Fleet) -> None:
    documents = [yaml.safe_load(block.text) for block in blocks(PAGE, "yaml")]
    group = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    policy, binding = (
        next(one for one in documents if one["kind"].endswith(kind))
        for kind in ("Policy", "Binding")
    )
    kube = fleet.kube
    kube.create(f"{group}ies", policy)
    kube.create(f"{group}ybindings", binding)
    try:
        namespace = fleet.add("guarded", labelled=False)
        label = "pinecone.example/token"

        def refusal() -> str:
            patch = {"metadata": {"labels": {label: uuid.uuid4().hex}}}
            try:
                kube.patch(f"/api/v1/namespaces/{namespace}", patch)
            except KubeError as error:
                return str(error)
            return ""

        # It takes effect after a moment.
        eventually(lambda: "only platform-admins" in refusal(), "the policy is in effect")
        kube.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {LABEL: "x"}}})
    finally:
        kube.delete(f"{group}ybindings/{binding['metadata']['name']}")
        kube.delete(f"{group}ies/{policy['metadata']['name']}")
    assert kube.get(cluster_token_path()) is not None
