"""An older or altered CRD lets a resource through that the operator cannot use.

Right is: its status names the field, and no other resource is affected.
"""

from collections.abc import Iterator

import pytest

from tests.support.api import Kube, KubeError, eventually, token_path
from tests.support.cluster import Cluster
from tests.support.crd import CRD_PATH
from tests.support.operator_process import StartOperator
from tests.support.repository import CRD
from tests.support.token_endpoint import TokenEndpoint


@pytest.fixture
def loose_crd(cluster: Cluster, kube: Kube, namespace: str) -> Iterator[None]:
    """Have the API server accept any text as a duration."""
    spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
    path = f"{spec}/properties/refreshBefore"
    kube.patch_by(CRD_PATH, [{"op": "replace", "path": path, "value": {"type": "string"}}])

    def accepted() -> bool:
        try:
            kube.create(f"{token_path(namespace)}?dryRun=All", resource("probe"))
        except KubeError:
            return False
        return True

    eventually(accepted, "the CRD accepts any text", poll=0.1)
    yield
    for name in ("broken", "fine"):
        kube.delete(token_path(namespace, name))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))


def resource(name: str) -> dict[str, object]:
    return {
        "apiVersion": "pinecone.token-operator.dev/v1alpha1",
        "kind": "PineconeAccessToken",
        "metadata": {"name": name},
        "spec": {"credentialsSecretRef": {"name": "account"}, "refreshBefore": "soon"},
    }


@pytest.mark.usefixtures("loose_crd")
def test_unusable_resource_is_reported_and_alone(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create(token_path(namespace), resource("broken"))
    operator = start_operator()
    operator.allow_errors = True  # one names the field
    kube.create_token(namespace, "fine")
    kube.until(namespace, "Ready", "TokenValid", "fine")
    kube.until(namespace, "Ready", "ResourceInvalid", "broken")
    ready = kube.condition(namespace, "broken", "Ready") or {}
    assert "refreshBefore" in ready["message"]
    assert ready["status"] == "False"
    assert endpoint.exchanges == 1
    assert not any("Traceback" in line for line in operator.errors())

    kube.patch_token(namespace, "broken", {"spec": {"refreshBefore": "5m"}})
    kube.until(namespace, "Ready", "TokenValid", "broken")
