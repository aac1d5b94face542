"""Who owns a target, and what happens to it when the resource is deleted."""

import math

import pytest

from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.cluster import Cluster
from tests.support.documented import PREFIX
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

ALLOW = {f"{PREFIX}allow-merge": "true"}
MERGE = {"creationPolicy": "Merge"}


# The garbage collector discovers new kinds only every 30 s.
COLLECTED = 60.0


@pytest.fixture(autouse=True)
def credentials(kube: Kube, namespace: str) -> None:
    kube.create_credentials(namespace)


def test_unmanaged_secret_is_left_untouched(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    unmanaged = kube.create_secret(namespace, "search", {"theirs": "text"})
    start_operator()
    kube.create_token(namespace)

    kube.until(namespace, "Ready", "TargetNotOwned")
    assert kube.secret_object(namespace, "search") == unmanaged
    assert not endpoint.requests

    kube.delete(secret_path(namespace, "search"))
    kube.until(namespace, "Ready", "TokenValid")


def test_oldest_resource_owns_a_shared_target(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_token(namespace, "zebra", target={"name": "shared"})
    kube.until(namespace, "Ready", "TokenValid", "zebra")
    # Creation times are in whole seconds; among equals the first by name counts as the oldest.
    kube.create_token(namespace, "zoo", target={"name": "shared"})
    kube.until(namespace, "Ready", "TargetConflict", "zoo")
    assert "zebra" in (kube.condition(namespace, "zoo", "Ready") or {})["message"]
    assert endpoint.exchanges == 1

    kube.delete(token_path(namespace, "zebra"))
    # The younger one waits until the Secret of the older one is garbage-collected.
    kube.until(namespace, "Ready", "TokenValid", "zoo", COLLECTED)
    assert endpoint.exchanges == 2


def test_merge_adds_and_removes_only_its_own_keys(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_token(namespace, target=MERGE)
    kube.until(namespace, "Ready", "TokenMissing")
    kube.create_secret(namespace, "search", {"theirs": "text"}, labels={"a": "b"})
    kube.until(namespace, "Ready", "TargetNotOwned")
    assert not endpoint.requests
    assert kube.secret(namespace, "search") == {"theirs": "text"}

    kube.patch(secret_path(namespace, "search"), {"metadata": {"annotations": ALLOW}})

    kube.until(namespace, "Ready", "TokenValid")
    data = kube.secret(namespace, "search")
    assert data is not None
    assert data["theirs"] == "text"
    assert data["access_token"] == endpoint.tokens[-1]
    secret = kube.secret_object(namespace, "search")
    assert secret is not None
    assert "ownerReferences" not in secret["metadata"]

    kube.delete(token_path(namespace, "search"))
    eventually(
        lambda: kube.secret(namespace, "search") == {"theirs": "text"}, "our keys are removed"
    )
    secret = kube.secret_object(namespace, "search")
    assert secret is not None
    assert secret["metadata"]["labels"] == {"a": "b"}
    assert secret["metadata"]["annotations"] == ALLOW


def test_merged_keys_stay_under_retain(
    kube: Kube, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_secret(namespace, "search", {"theirs": "text"}, annotations=ALLOW)
    kube.create_token(namespace, target={**MERGE, "deletionPolicy": "Retain"})
    kube.create_secret(namespace, "other", {"theirs": "text"}, annotations=ALLOW)
    kube.create_token(namespace, "other", target=MERGE)
    kube.until(namespace, "Ready", "TokenValid")
    kube.until(namespace, "Ready", "TokenValid", "other")

    kube.delete(token_path(namespace, "search"))
    kube.delete(token_path(namespace, "other"))

    # The later deletion was handled, so the earlier one was too.
    eventually(
        lambda: kube.secret(namespace, "other") == {"theirs": "text"}, "our keys are removed"
    )
    assert "access_token" in (kube.secret(namespace, "search") or {})


def test_merged_keys_are_removed_after_a_missed_deletion(
    kube: Kube, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    kube.create_secret(namespace, "search", {"theirs": "text"}, annotations=ALLOW)
    kube.create_token(namespace, target=MERGE)
    kube.until(namespace, "Ready", "TokenValid")
    operator.stop()
    kube.delete(token_path(namespace, "search"))

    operator.start()

    eventually(
        lambda: kube.secret(namespace, "search") == {"theirs": "text"}, "our keys are removed"
    )


def test_target_is_deleted_with_its_resource(
    kube: Kube, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")

    kube.delete(token_path(namespace, "search"))

    eventually(
        lambda: kube.secret_object(namespace, "search") is None,
        "the Secret is garbage-collected",
        COLLECTED,
    )


@pytest.mark.parametrize("cascade", ["foreground", "background"])
def test_kubectl_delete_completes(
    cluster: Cluster, kube: Kube, namespace: str, start_operator: StartOperator, cascade: str
) -> None:
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")

    cluster.kubectl("delete", "-n", namespace, "pat", "search", f"--cascade={cascade}")

    eventually(
        lambda: kube.secret_object(namespace, "search") is None,
        "the Secret is garbage-collected",
        COLLECTED,
    )


def test_terminating_resource_gets_no_new_token(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    kube.patch_token(namespace, "search", {"metadata": {"finalizers": ["example.com/hold"]}})
    kube.delete(token_path(namespace, "search"))
    # Resources and Secrets are watched separately, and events of one can overtake the other.
    expiry = "pinecone_token_expiry_timestamp_seconds"
    eventually(
        lambda: math.isnan(operator.metric(expiry, name="search")),
        "the operator has seen the deletion",
    )
    kube.delete(secret_path(namespace, "search"))

    # The later resource was reconciled, so the earlier deletion was too.
    kube.create_token(namespace, "other")
    kube.until(namespace, "Ready", "TokenValid", "other")
    assert kube.secret(namespace, "search") is None
    assert endpoint.exchanges == 2
    kube.patch_token(namespace, "search", {"metadata": {"finalizers": None}})


def test_retained_target_is_adopted_by_a_recreated_resource(
    kube: Kube, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_token(namespace, target={"deletionPolicy": "Retain"})
    kube.until(namespace, "Ready", "TokenValid")
    before = kube.secret_object(namespace, "search")
    assert before is not None
    assert "ownerReferences" not in before["metadata"]
    kube.create_token(namespace, "other")
    kube.until(namespace, "Ready", "TokenValid", "other")

    kube.delete(token_path(namespace, "search"))
    kube.delete(token_path(namespace, "other"))
    # The garbage collector has run.
    eventually(
        lambda: kube.secret_object(namespace, "other") is None,
        "the other Secret is garbage-collected",
        COLLECTED,
    )
    assert kube.secret_object(namespace, "search") == before

    kube.create_token(namespace, target={"deletionPolicy": "Retain"})
    kube.until(namespace, "Ready", "TokenValid")


def test_merged_secret_is_never_adopted(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_secret(namespace, "search", {"theirs": "text"}, annotations=ALLOW)
    kube.create_token(namespace, target={**MERGE, "deletionPolicy": "Retain"})
    kube.until(namespace, "Ready", "TokenValid")
    kube.delete(token_path(namespace, "search"))

    kube.create_token(namespace)

    kube.until(namespace, "Ready", "TargetNotOwned")
    assert endpoint.exchanges == 1
    secret = kube.secret_object(namespace, "search")
    assert secret is not None
    assert "ownerReferences" not in secret["metadata"]


def test_change_to_retain_removes_the_owner_reference(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")

    kube.patch_token(namespace, "search", {"spec": {"target": {"deletionPolicy": "Retain"}}})

    eventually(
        lambda: (
            "ownerReferences"
            not in (
                kube.secret_object(namespace, "search") or {"metadata": {"ownerReferences": 1}}
            )["metadata"]
        ),
        "the owner reference is gone",
    )
    assert endpoint.exchanges == 1


def test_immutable_target_is_reported_at_one_exchange(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    kube.patch(secret_path(namespace, "search"), {"immutable": True})
    kube.patch(secret_path(namespace, "account"), {"data": {"client_id": "bmV3LWNsaWVudC1pZA=="}})

    eventually(
        lambda: (
            (kube.condition(namespace, "search", "Refreshed") or {}).get("reason")
            == "TargetNotWritable"
        ),
        "the reason of Refreshed is TargetNotWritable",
    )
    assert "immutable" in (kube.condition(namespace, "search", "Refreshed") or {})["message"]
    eventually(
        lambda: ((kube.token(namespace) or {}).get("status") or {}).get("failedAttempts", 0) > 1,
        "the write is retried",
    )
    assert endpoint.exchanges == 2
    kube.delete(secret_path(namespace, "search"))
    kube.until(namespace, "Ready", "TokenValid")
    eventually(
        lambda: (kube.secret(namespace, "search") or {}).get("access_token") == endpoint.tokens[-1],
        "the pending token is written",
    )
    assert endpoint.exchanges == 2
