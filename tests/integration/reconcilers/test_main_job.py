"""From a resource to a fresh token in a Secret, and back to it after whatever people do to it."""

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
    """Whether the target holds the endpoint's latest token and the resource says so."""

    def check() -> bool:
        data = kube.secret(namespace, name) or {}
        return bool(endpoint.tokens) and data.get("access_token") == endpoint.tokens[-1]

    return check


@pytest.fixture
def first_token(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> str:
    """A resource named search whose target holds a fresh token."""
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace)
    eventually(ready(kube, namespace), "the resource is ready")
    eventually(holds(kube, endpoint, namespace), "the target holds the token")
    return endpoint.tokens[-1]


def test_a_resource_gets_its_first_token(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    data = kube.secret(namespace, "search")
    assert data is not None
    assert data["access_token"] == first_token
    assert data["token_type"] == "Bearer"
    life = datetime.fromisoformat(data["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=1740) < life <= timedelta(seconds=1800)
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


def test_a_token_is_refreshed_before_it_expires(
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


def test_template_shapes_the_secret(
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


def test_changed_credentials_give_a_new_token_at_once(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    changed = base64.b64encode(b"another-client-secret").decode()
    kube.client_secrets.append("another-client-secret")
    kube.patch(secret_path(namespace, "account"), {"data": {"client_secret": changed}})

    eventually(lambda: endpoint.exchanges == 2, "a second exchange")
    eventually(holds(kube, endpoint, namespace), "the target holds the new token")
    assert endpoint.tokens[-1] != first_token


def test_a_change_of_the_credentials_secret_that_changes_no_credentials_costs_nothing(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    kube.patch(secret_path(namespace, "account"), {"metadata": {"labels": {"a": "b"}}})
    kube.patch_token(namespace, "search", {"spec": {"refreshBefore": "5m"}})

    # The later change has been dealt with, so the earlier one has too.
    eventually(
        lambda: ((kube.token(namespace) or {}).get("status") or {}).get("observedGeneration") == 2,
        "the status follows",
    )
    assert endpoint.exchanges == 1
    assert (kube.secret(namespace, "search") or {})["access_token"] == first_token


def test_a_deleted_target_comes_back(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    kube.delete(secret_path(namespace, "search"))

    eventually(lambda: kube.secret(namespace, "search") is not None, "the target is back")
    eventually(holds(kube, endpoint, namespace), "it holds the latest token")
    assert endpoint.tokens[-1] != first_token
    assert endpoint.exchanges == 2


def test_a_token_that_is_kept_comes_back_without_an_exchange(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    start_operator(options=["--keep-tokens=20m"])
    kube.create_token(namespace)
    eventually(holds(kube, endpoint, namespace), "the first token")

    kube.delete(secret_path(namespace, "search"))
    eventually(holds(kube, endpoint, namespace), "the deleted target holds it again")
    kube.patch(secret_path(namespace, "search"), {"data": {"access_token": "YQ=="}})
    eventually(holds(kube, endpoint, namespace), "the damaged target holds it again")
    assert endpoint.exchanges == 1


def test_a_token_is_not_kept_for_longer_than_it_may_be(
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


DAMAGES = [
    pytest.param({"metadata": {"labels": {f"{PREFIX}resource-uid": None}}}, 1, id="our label gone"),
    pytest.param({"metadata": {"ownerReferences": None}}, 1, id="owner reference gone"),
    pytest.param({"data": {"token_type": "bWFj"}}, 1, id="token_type changed"),
    pytest.param({"data": {"expires_at": None}}, 1, id="expires_at gone"),
    pytest.param(
        {"metadata": {"annotations": {f"{PREFIX}refresh-at": "2099-01-01T00:00:00Z"}}},
        1,
        id="the plan moved to a later time",
    ),
    pytest.param({"data": {"access_token": "YQ=="}}, 2, id="the token changed"),
    pytest.param({"data": {"access_token": None}}, 2, id="the token gone"),
    pytest.param(
        {"metadata": {"annotations": {f"{PREFIX}expires-at": "2099-01-01T00:00:00Z"}}},
        2,
        id="the expiry moved to a later time",
    ),
    pytest.param(
        {"metadata": {"annotations": {f"{PREFIX}credentials": "x"}}},
        2,
        id="the fingerprint changed",
    ),
    pytest.param({"metadata": {"annotations": None}}, 2, id="all annotations gone"),
]


@pytest.mark.parametrize(("damage", "exchanges"), DAMAGES)
def test_a_damaged_target_is_repaired(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    first_token: str,
    damage: dict[str, object],
    exchanges: int,
) -> None:
    before = kube.secret_object(namespace, "search")
    assert before is not None
    damaged = kube.patch(secret_path(namespace, "search"), damage)

    def repaired() -> bool:
        found = kube.secret_object(namespace, "search") or {}
        return (
            found["metadata"]["resourceVersion"] != damaged["metadata"]["resourceVersion"]
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
def test_what_others_add_to_the_target_is_kept(
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


def test_a_refresh_can_be_asked_for(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    kube.patch_token(namespace, "search", {"metadata": {"annotations": {REQUESTED: now_text()}}})

    eventually(lambda: endpoint.exchanges == 2, "a second exchange")
    eventually(holds(kube, endpoint, namespace), "the target holds the new token")
    assert endpoint.tokens[-1] != first_token
    # Asked for once, done once: a change of the spec makes the operator look again.
    kube.patch_token(namespace, "search", {"spec": {"refreshBefore": "5m"}})
    eventually(
        lambda: ((kube.token(namespace) or {}).get("status") or {}).get("observedGeneration") == 2,
        "the status follows",
    )
    assert endpoint.exchanges == 2


def test_suspend_stops_exchanges_and_its_end_starts_them_again(
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


def test_ready_turns_false_by_itself_when_the_token_expires(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.lifetime = 3
    kube.create_credentials(namespace)
    operator = start_operator()
    kube.create_token(namespace)
    eventually(ready(kube, namespace), "the resource is ready")
    kube.patch_token(namespace, "search", {"spec": {"suspend": True}})

    kube.until(namespace, "Ready", "TokenExpired")
    # Its expiry is told, and that nothing is planned against it.
    assert operator.metric("pinecone_token_expiry_timestamp_seconds") > 0
    assert math.isnan(operator.metric("pinecone_token_refresh_timestamp_seconds"))


def test_credentials_may_appear_later(
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


def test_lost_credentials_leave_a_valid_token_ready(
    kube: Kube, namespace: str, first_token: str
) -> None:
    kube.delete(secret_path(namespace, "account"))

    kube.until(namespace, "Refreshed", "CredentialsNotFound")
    assert ready(kube, namespace)()
    assert (kube.secret(namespace, "search") or {})["access_token"] == first_token


def test_only_the_named_namespaces_are_served(
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
    assert "status" not in (kube.token(other) or {})
    kube.delete(f"/api/v1/namespaces/{other}")


def test_all_namespaces_are_served_without_a_choice(
    kube: Kube, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    start_operator("*")
    kube.create_token(namespace)

    eventually(ready(kube, namespace), "the resource is ready")


def test_a_namespace_deleted_under_it_leaves_no_trace(
    kube: Kube, namespace: str, start_operator: StartOperator, endpoint: TokenEndpoint
) -> None:
    doomed = f"{namespace}-doomed"
    kube.create("/api/v1/namespaces", {"metadata": {"name": doomed}})
    operator = start_operator(namespace, doomed)
    for each in (doomed, namespace):
        kube.create_credentials(each)
        kube.create_token(each)
        eventually(ready(kube, each), "the resource is ready")
    kube.delete(f"/api/v1/namespaces/{doomed}")

    eventually(
        lambda: kube.get(f"/api/v1/namespaces/{doomed}") is None, "the namespace is gone", 60
    )
    eventually(
        lambda: (
            not operator.metric("pinecone_token_expiry_timestamp_seconds", namespace=doomed) > 0
        ),
        "its metrics are gone",
    )
    kube.delete(secret_path(namespace, "search"))
    eventually(holds(kube, endpoint, namespace), "the other namespace is still served")


def test_a_deleted_resource_made_again_gets_a_token_of_its_own(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, first_token: str
) -> None:
    kube.delete(token_path(namespace, "search"))
    kube.create_token(namespace)

    eventually(ready(kube, namespace), "the new resource is ready")
    eventually(holds(kube, endpoint, namespace), "the target holds its token")
    assert endpoint.tokens[-1] != first_token
