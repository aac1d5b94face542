"""From a resource to a fresh token in a Secret, on a real API server."""

from collections.abc import Callable

from tests.support.api import Kube, eventually
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint


def ready(kube: Kube, namespace: str, name: str = "search") -> Callable[[], bool]:
    return lambda: (kube.condition(namespace, name, "Ready") or {}).get("status") == "True"


def test_a_resource_gets_its_first_token(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    start_operator()

    kube.create_token(namespace)

    eventually(ready(kube, namespace), "the resource is ready")
    secret = kube.secret(namespace, "search")
    assert secret is not None
    assert secret["access_token"] == endpoint.tokens[-1]
    assert endpoint.exchanges == 1
