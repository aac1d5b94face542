"""A resource is deleted while its token is being requested.

Right is: it leaves no metrics, which would raise an alert forever, and no Secret.
"""

import math

from tests.support.api import Kube, eventually, token_path
from tests.support.documented import ALLOW_MERGE
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_METRICS = (
    "pinecone_token_ready",
    "pinecone_token_refreshed",
    "pinecone_token_expiry_timestamp_seconds",
)


def test_resource_deleted_while_issuing_leaves_nothing(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.latency = 2.0
    operator = start_operator()
    allowed = {ALLOW_MERGE: "true"}
    merged = kube.create_secret(namespace, "merged", {"theirs": "x"}, annotations=allowed)
    targets = {
        "owned": {},
        "retained": {"deletionPolicy": "Retain"},
        "merged": {"creationPolicy": "Merge"},
    }
    for name, target in targets.items():
        kube.create_token(namespace, name, target=target)
    eventually(lambda: len(endpoint.requests) == len(targets), "their tokens are requested")
    for name in targets:
        kube.delete(token_path(namespace, name))
    endpoint.latency = 0.0
    eventually(lambda: endpoint.exchanges == len(targets), "the tokens are issued")

    # Whoever waits for the same client id comes later.
    kube.create_token(namespace, "later")
    kube.until(namespace, "Ready", "TokenValid", "later")
    for metric in _METRICS:
        for name in targets:
            assert math.isnan(operator.metric(metric, namespace=namespace, name=name)), name
    assert kube.secret(namespace, "owned") is None
    assert kube.secret(namespace, "retained") is None
    assert kube.secret_object(namespace, "merged") == merged
