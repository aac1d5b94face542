"""The main path: a resource gets a fresh token in its Secret, and keeps it despite changes."""

import base64
import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.documented import PREFIX
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

REQUESTED = f"{PREFIX}refresh-requested-at"


def ready(kube: Kube, namespace: str, name: str = "search") -> Callable[[], bool]:
    return lambda: (kube.condition(namespace, name, "Ready") or {}).get("status") == "True"


def holds(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, name: str = "search"
) -> Callable[[], bool]:
    """Return a check whether the target holds the endpoint's latest token."""

    def check() -> bool:
        data = kube.secret(namespace, name) or {}
        return bool(endpoint.tokens) and data.get("access_token") == endpoint.tokens[-1]

    return check


@pytest.fixture
def first_token(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> str:
    """Create a resource named search, wait for its token, and return the token."""
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace)
    eventually(ready(kube, namespace), "the resource is ready")
    eventually(holds(kube, endpoint, namespace), "the target holds the token")
    return endpoint.tokens[-1]


def test_resource_gets_its_first_token(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    data = kube.secret(namespace, "search")
    assert data is not None
    assert data["access_token"] == first_token
    assert data["token_type"] == "Bearer"
    lifetime = datetime.fromisoformat(data["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=1740) < lifetime <= timedelta(seconds=1800)
    resource = kube.token(namespace)
    assert resource is not None
    status = resource["status"]
    assert status["expiresAt"] == data["expires_at"]
    assert status["secretName"] == "search"
    assert status["observedGeneration"] == resource["metadata"]["generation"]
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("Ready", "True", "TokenValid"),
        ("Refreshed", "True", "Succeeded"),
    ]
    assert endpoint.exchanges == 1
    assert "finalizers" not in resource["metadata"]


def test_token_is_refreshed_before_it_expires(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.lifetime = 6
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace)
    least = timedelta(days=1)

    def third_token() -> bool:
        nonlocal least
        data = kube.secret(namespace, "search")
        if data is not None:
            left = datetime.fromisoformat(data["expires_at"]) - datetime.now(UTC)
            least = min(least, left)
        return endpoint.exchanges >= 3

    eventually(third_token, "the third token", 20)
    assert least > timedelta()


def test_target_follows_its_template(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    start_operator()
    template = {
        "type": "example.com/token",
        "metadata": {"labels": {"team": "search"}, "annotations": {"note": "text"}},
        "data": {"authorization": "Bearer ${access_token}", "unix": "${expires_at_unix} $$"},
    }
    kube.create_token(namespace, target={"name": "other", "template": template})

    eventually(ready(kube, namespace), "the resource is ready")
    secret = kube.secret_object(namespace, "other")
    data = kube.secret(namespace, "other")
    assert secret is not None
    assert data is not None
    assert secret["type"] == "example.com/token"
    assert secret["metadata"]["labels"]["team"] == "search"
    assert secret["metadata"]["annotations"]["note"] == "text"
    assert data["authorization"] == f"Bearer {endpoint.tokens[-1]}"
    assert re.fullmatch(r"[0-9]{10} \$", data["unix"])

    # A changed template is written with the token that is there.
    template["data"] = {"header": "${token_type} ${access_token}"}
    template["metadata"] = {}
    kube.patch_token(namespace, "search", {"spec": {"target": {"template": None}}})
    kube.patch_token(namespace, "search", {"spec": {"target": {"template": template}}})
    eventually(
        lambda: (
            set(kube.secret(namespace, "other") or ())
            == {"access_token", "token_type", "expires_at", "header"}
        ),
        "the keys follow the template",
    )
    secret = kube.secret_object(namespace, "other")
    assert secret is not None
    assert "team" not in secret["metadata"]["labels"]
    assert "note" not in secret["metadata"]["annotations"]
    assert endpoint.exchanges == 1


def test_token_is_replaced_when_the_credentials_change(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    changed = base64.b64encode(b"another-client-secret").decode()
    kube.client_secrets.append("another-client-secret")
    kube.patch(secret_path(namespace, "account"), {"data": {"client_secret": changed}})

    eventually(lambda: endpoint.exchanges == 2, "a second exchange")
    eventually(holds(kube, endpoint, namespace), "the target holds the new token")
    assert endpoint.tokens[-1] != first_token


def test_unchanged_credentials_cost_no_exchange(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    kube.patch(secret_path(namespace, "account"), {"metadata": {"labels": {"a": "b"}}})
    kube.patch_token(namespace, "search", {"spec": {"refreshBefore": "5m"}})

    # The later change was reconciled, so the earlier one was too.
    eventually(
        lambda: ((kube.token(namespace) or {}).get("status") or {}).get("observedGeneration") == 2,
        "the status follows",
    )
    assert endpoint.exchanges == 1
    assert (kube.secret(namespace, "search") or {})["access_token"] == first_token


def test_deleted_target_is_recreated(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    kube.delete(secret_path(namespace, "search"))

    eventually(lambda: kube.secret(namespace, "search") is not None, "the target is back")
    eventually(holds(kube, endpoint, namespace), "it holds the latest token")
    assert endpoint.tokens[-1] != first_token
    assert endpoint.exchanges == 2


def test_cached_token_restores_the_target_without_an_exchange(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    start_operator(options=["--keep-tokens=20m"])
    kube.create_token(namespace)
    eventually(holds(kube, endpoint, namespace), "the first token")

    kube.delete(secret_path(namespace, "search"))
    eventually(holds(kube, endpoint, namespace), "the deleted target holds it again")
    kube.patch(secret_path(namespace, "search"), {"data": {"access_token": "YQ=="}})
    eventually(holds(kube, endpoint, namespace), "the modified target holds it again")
    assert endpoint.exchanges == 1


def test_cached_token_is_dropped_after_its_time(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    start_operator(options=["--keep-tokens=3s"])
    kube.create_token(namespace)
    eventually(holds(kube, endpoint, namespace), "the first token")
    time.sleep(3)

    kube.delete(secret_path(namespace, "search"))
    eventually(lambda: endpoint.exchanges == 2, "another exchange")
    eventually(holds(kube, endpoint, namespace), "it holds the new token")


DRIFT = [
    pytest.param(
        {"metadata": {"labels": {f"{PREFIX}resource-uid": None}}}, 1, id="our label removed"
    ),
    pytest.param({"metadata": {"ownerReferences": None}}, 1, id="owner reference removed"),
    pytest.param({"data": {"token_type": "bWFj"}}, 1, id="token_type changed"),
    pytest.param({"data": {"expires_at": None}}, 1, id="expires_at removed"),
    pytest.param(
        {"metadata": {"annotations": {f"{PREFIX}refresh-at": "2099-01-01T00:00:00Z"}}},
        1,
        id="refresh-at postponed",
    ),
    pytest.param({"data": {"access_token": "YQ=="}}, 2, id="token changed"),
    pytest.param({"data": {"access_token": None}}, 2, id="token removed"),
    pytest.param(
        {"metadata": {"annotations": {f"{PREFIX}expires-at": "2099-01-01T00:00:00Z"}}},
        2,
        id="expires-at postponed",
    ),
    pytest.param(
        {"metadata": {"annotations": {f"{PREFIX}credentials": "x"}}},
        2,
        id="fingerprint changed",
    ),
    pytest.param({"metadata": {"annotations": None}}, 2, id="all annotations removed"),
]


@pytest.mark.parametrize(("change", "exchanges"), DRIFT)
def test_target_drift_is_repaired(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    first_token: str,
    change: dict[str, object],
    exchanges: int,
) -> None:
    before = kube.secret_object(namespace, "search")
    assert before is not None
    changed = kube.patch(secret_path(namespace, "search"), change)

    def repaired() -> bool:
        found = kube.secret_object(namespace, "search") or {}
        return (
            found["metadata"]["resourceVersion"] != changed["metadata"]["resourceVersion"]
            and set(found["data"]) == set(before["data"])
            and found["metadata"].get("labels") == before["metadata"]["labels"]
            and set(found["metadata"].get("annotations", ()))
            == set(before["metadata"]["annotations"])
            and found["metadata"].get("ownerReferences") == before["metadata"]["ownerReferences"]
        )

    eventually(repaired, "the target is as it was")
    eventually(holds(kube, endpoint, namespace), "it holds the latest token")
    assert endpoint.exchanges == exchanges
    assert (endpoint.tokens[-1] == first_token) is (exchanges == 1)


@pytest.mark.usefixtures("first_token")
def test_refresh_keeps_what_other_writers_added(
    kube: Kube, endpoint: TokenEndpoint, namespace: str
) -> None:
    kube.patch(
        secret_path(namespace, "search"),
        {"metadata": {"labels": {"theirs": "yes"}}, "data": {"theirs": "YQ=="}},
    )
    kube.patch_token(namespace, "search", {"metadata": {"annotations": {REQUESTED: now_text()}}})

    eventually(lambda: endpoint.exchanges == 2, "a refresh")
    eventually(holds(kube, endpoint, namespace), "the target holds the new token")
    secret = kube.secret_object(namespace, "search")
    assert secret is not None
    assert secret["metadata"]["labels"]["theirs"] == "yes"
    assert secret["data"]["theirs"] == "YQ=="


def now_text() -> str:
    return (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_annotation_requests_one_refresh(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    kube.patch_token(namespace, "search", {"metadata": {"annotations": {REQUESTED: now_text()}}})

    eventually(lambda: endpoint.exchanges == 2, "a second exchange")
    eventually(holds(kube, endpoint, namespace), "the target holds the new token")
    assert endpoint.tokens[-1] != first_token
    # A request is served once: the change of the spec causes another reconcile.
    kube.patch_token(namespace, "search", {"spec": {"refreshBefore": "5m"}})
    eventually(
        lambda: ((kube.token(namespace) or {}).get("status") or {}).get("observedGeneration") == 2,
        "the status follows",
    )
    assert endpoint.exchanges == 2


def test_suspend_stops_exchanges_until_it_is_unset(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    kube.patch_token(namespace, "search", {"spec": {"suspend": True}})
    kube.until(namespace, "Refreshed", "Suspended")
    resource = kube.token(namespace)
    assert resource is not None
    assert resource["status"]["expiresAt"]
    assert "refreshAt" not in resource["status"]
    kube.delete(secret_path(namespace, "search"))
    kube.until(namespace, "Ready", "TokenMissing")
    assert endpoint.exchanges == 1

    kube.patch_token(namespace, "search", {"spec": {"suspend": False}})
    eventually(ready(kube, namespace), "the resource is ready again")
    assert endpoint.exchanges == 2
    assert endpoint.tokens[-1] != first_token


def test_ready_becomes_false_when_the_token_expires(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.lifetime = 3
    kube.create_credentials(namespace)
    operator = start_operator()
    kube.create_token(namespace)
    eventually(ready(kube, namespace), "the resource is ready")
    kube.patch_token(namespace, "search", {"spec": {"suspend": True}})

    kube.until(namespace, "Ready", "TokenExpired")
    # The expiry is reported, and no refresh is scheduled.
    assert operator.metric("pinecone_token_expiry_timestamp_seconds") > 0
    assert math.isnan(operator.metric("pinecone_token_refresh_timestamp_seconds"))


def test_resource_becomes_ready_when_credentials_appear(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "CredentialsNotFound")
    kube.create_secret(namespace, "account", {"client_id": "id"})
    kube.until(namespace, "Ready", "CredentialsInvalid")
    assert not endpoint.requests
    kube.delete(secret_path(namespace, "account"))
    kube.until(namespace, "Ready", "CredentialsNotFound")

    kube.create_credentials(namespace)

    eventually(ready(kube, namespace), "the resource is ready")
    kube.until(namespace, "Refreshed", "Succeeded")


def test_resource_stays_ready_when_credentials_are_deleted(
    kube: Kube, namespace: str, first_token: str
) -> None:
    kube.delete(secret_path(namespace, "account"))

    kube.until(namespace, "Refreshed", "CredentialsNotFound")
    assert ready(kube, namespace)()
    assert (kube.secret(namespace, "search") or {})["access_token"] == first_token


def test_unselected_namespaces_are_not_served(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    other = f"{namespace}-other"
    kube.create("/api/v1/namespaces", {"metadata": {"name": other}})
    for each in (other, namespace):
        kube.create_credentials(each)
        kube.create_token(each)
    start_operator(namespace)

    eventually(ready(kube, namespace), "the resource in the served namespace is ready")
    assert endpoint.exchanges == 1
    assert kube.secret(other, "search") is None
    assert (kube.token(other) or {})["status"] == {"observedGeneration": -1}
    kube.delete(f"/api/v1/namespaces/{other}")


def test_all_namespaces_are_served_by_default(
    kube: Kube, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    start_operator("*")
    kube.create_token(namespace)

    eventually(ready(kube, namespace), "the resource is ready")


def test_deleted_namespace_does_not_affect_the_others(
    kube: Kube, namespace: str, start_operator: StartOperator, endpoint: TokenEndpoint
) -> None:
    deleted = f"{namespace}-deleted"
    kube.create("/api/v1/namespaces", {"metadata": {"name": deleted}})
    operator = start_operator(namespace, deleted)
    for each in (deleted, namespace):
        kube.create_credentials(each)
        kube.create_token(each)
        eventually(ready(kube, each), "the resource is ready")
    kube.delete(f"/api/v1/namespaces/{deleted}")

    eventually(
        lambda: kube.get(f"/api/v1/namespaces/{deleted}") is None, "the namespace is gone", 60
    )
    eventually(
        lambda: (
            not operator.metric("pinecone_token_expiry_timestamp_seconds", namespace=deleted) > 0
        ),
        "its metrics are gone",
    )
    kube.delete(secret_path(namespace, "search"))
    eventually(holds(kube, endpoint, namespace), "the other namespace is still served")


def test_recreated_resource_gets_its_own_token(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    kube.delete(token_path(namespace, "search"))
    kube.create_token(namespace)

    eventually(ready(kube, namespace), "the new resource is ready")
    eventually(holds(kube, endpoint, namespace), "the target holds its token")
    assert endpoint.tokens[-1] != first_token
