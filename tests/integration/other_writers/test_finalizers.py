"""Others' finalizers keep a target or a namespace from going away.

Right is: the token in a target that waits to be deleted is kept fresh. A namespace that is being
deleted costs one exchange at most, and holds up no other.
"""

import uuid

from tests.support.api import Kube, eventually, secret_path
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_HOLD = {"metadata": {"finalizers": ["example.com/hold"]}}
_RELEASE = {"metadata": {"finalizers": None}}


def test_target_waiting_to_be_deleted_is_kept_fresh(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.lifetime = 8
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    kube.patch(secret_path(namespace, "search"), _HOLD)
    kube.delete(secret_path(namespace, "search"))
    before = kube.secret(namespace, "search")

    eventually(lambda: kube.secret(namespace, "search") != before, "the token is refreshed")
    kube.until(namespace, "Ready", "TokenValid")
    exchanges = endpoint.exchanges
    kube.patch(secret_path(namespace, "search"), _RELEASE)

    def recreated() -> bool:
        found = kube.secret_object(namespace, "search")
        return found is not None and "deletionTimestamp" not in found["metadata"]

    eventually(recreated, "it is recreated")
    assert endpoint.exchanges <= exchanges + 1
    assert kube.reason(namespace, "search", "Ready") == "TokenValid"


def test_terminating_namespace_costs_one_exchange_at_most(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    other = f"other-{uuid.uuid4().hex[:12]}"
    kube.create("/api/v1/namespaces", {"metadata": {"name": other}})
    kube.create_credentials(other)
    start_operator(namespace, other)
    kube.create_token(other)
    kube.until(other, "Ready", "TokenValid")
    # What a token request would need stays, so that it is not missing by chance.
    kube.patch(secret_path(other, "account"), _HOLD)
    kube.patch_token(other, "search", _HOLD)
    kube.delete(f"/api/v1/namespaces/{other}")
    eventually(lambda: kube.secret(other, "search") is None, "its Secrets are deleted", timeout=30)

    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    # Where the Secret is deleted before the resource, one is needed to find out why.
    assert endpoint.exchanges <= 3
    assert kube.secret(other, "search") is None
    kube.patch_token(other, "search", _RELEASE)
    kube.patch(secret_path(other, "account"), _RELEASE)
    eventually(lambda: kube.get(f"/api/v1/namespaces/{other}") is None, "it is gone", timeout=30)
