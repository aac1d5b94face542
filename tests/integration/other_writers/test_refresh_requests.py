"""A refresh is requested by an annotation, whose value people write as they please.

Right is: any new value is a request, and each is served once.
"""

from tests.support.api import Kube, eventually
from tests.support.documented import REFRESH_REQUEST, REFRESH_REQUESTED_AT
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_VALUES = ("1764201600", "now", "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z")


def test_any_new_value_requests_one_refresh(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    for served, value in enumerate(_VALUES, start=1):
        annotations = {REFRESH_REQUESTED_AT: value}
        kube.patch_token(namespace, "search", {"metadata": {"annotations": annotations}})
        eventually(
            lambda value=value: (  # type: ignore[misc]
                annotations_of_target(kube, namespace).get(REFRESH_REQUEST) == value
            ),
            f"the request {value} is served",
        )
        eventually(
            lambda value=value: (  # type: ignore[misc]
                handled_request(kube, namespace) == value
            ),
            f"the status says that the request {value} was handled",
        )
        assert endpoint.exchanges == 1 + served
        assert (kube.secret(namespace, "search") or {})["access_token"] == endpoint.tokens[-1]

    operator.stop()
    operator.start()
    operator.wait_ready()
    kube.create_token(namespace, "later")
    kube.until(namespace, "Ready", "TokenValid", "later")
    assert endpoint.exchanges == 2 + len(_VALUES)  # none is served again
    assert handled_request(kube, namespace) == _VALUES[-1]


def handled_request(kube: Kube, namespace: str) -> object:
    status = (kube.token(namespace) or {}).get("status") or {}
    return status.get("lastHandledRefreshRequest")


def annotations_of_target(kube: Kube, namespace: str) -> dict[str, str]:
    secret = kube.secret_object(namespace, "search") or {}
    found: dict[str, str] = secret["metadata"]["annotations"]
    return found
