"""Resources change while a list of them is on its way.

Right is: what the watch has reported meanwhile is newer than the list, and is not overwritten.
"""

import math

from tests.support.api import Kube, eventually, token_path
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import Cluster
from tests.support.documented import PLURAL
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint


def test_list_does_not_undo_what_the_watch_reported(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    proxy: ApiProxy,
) -> None:
    line = proxy.lines["operator"]
    line.scope = PLURAL
    operator = start_operator(
        options=("--resync-interval", "10s"),
        kubeconfig=proxy.kubeconfig("operator", cluster.token),
    )
    names = ("changed", "deleted", "recreated")
    for name in names:
        kube.create_token(namespace, name)
        kube.until(namespace, "Ready", "TokenValid", name)
    line.holds_lists = True
    eventually(lambda: line.held_lists, "a list is on its way", timeout=20)

    kube.patch_token(namespace, "changed", {"spec": {"suspend": True}})
    kube.delete(token_path(namespace, "deleted"))
    kube.delete(token_path(namespace, "recreated"))
    successor = kube.create_token(namespace, "recreated", target={"name": "successor"})
    kube.until(namespace, "Refreshed", "Suspended", "changed")
    kube.until(namespace, "Ready", "TokenValid", "recreated")
    metric = "pinecone_token_expiry_timestamp_seconds"
    eventually(lambda: math.isnan(operator.metric(metric, name="deleted")), "it is forgotten")
    exchanges = endpoint.exchanges
    line.holds_lists = False
    eventually(lambda: not line.held_lists, "the list is delivered")

    # At the time of the next list, this one has been dealt with.
    line.holds_lists = True
    eventually(lambda: line.held_lists, "the next list is on its way", timeout=20)
    line.holds_lists = False
    assert math.isnan(operator.metric(metric, name="deleted"))
    assert kube.reason(namespace, "changed", "Refreshed") == "Suspended"
    found = kube.token(namespace, "recreated") or {}
    assert found["metadata"]["uid"] == successor["metadata"]["uid"]
    assert found["status"]["secretName"] == "successor"
    assert endpoint.exchanges == exchanges
