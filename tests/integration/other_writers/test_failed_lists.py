"""A list of resources fails once or for a while: a CRD is replaced, a right is gone.

Right is: an absence must be proven. Nothing is forgotten or removed because of it.
"""

import pytest

from tests.support.api import Kube, eventually
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import Cluster
from tests.support.documented import ALLOW_MERGE, PLURAL
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_FAILED = "Failed to list resources"


@pytest.mark.parametrize("status", [404, 500])
def test_failed_list_removes_nothing(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    proxy: ApiProxy,
    status: int,
) -> None:
    line = proxy.lines["operator"]
    line.scope = PLURAL
    operator = start_operator(
        options=("--resync-interval", "10s"), kubeconfig=proxy.kubeconfig("operator", cluster.token)
    )
    kube.create_secret(namespace, "merged", {"theirs": "x"}, annotations={ALLOW_MERGE: "true"})
    kube.create_token(namespace, "merged", target={"creationPolicy": "Merge"})
    kube.create_token(namespace, "owned")
    names = ("merged", "owned")
    for name in names:
        kube.until(namespace, "Ready", "TokenValid", name)
    before = [kube.secret_object(namespace, name) for name in names]

    def failures() -> int:
        return operator.log.read_text("utf-8").count(_FAILED)

    line.refusal = status
    eventually(failures, "a list fails while it runs", timeout=20)
    assert operator.metric("pinecone_token_ready", namespace=namespace) == len(names)
    operator.kill()
    earlier = failures()
    operator.start()
    eventually(lambda: failures() > earlier, "a list fails when it starts", timeout=20)
    line.refusal = None

    kube.create_token(namespace, "later")
    kube.until(namespace, "Ready", "TokenValid", "later", timeout=30)
    operator.wait_ready()
    assert [kube.secret_object(namespace, name) for name in names] == before
    assert endpoint.exchanges == 3
