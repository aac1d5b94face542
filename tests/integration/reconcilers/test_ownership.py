"""Whose the target is, and what becomes of it when the resource is deleted."""

import math

import pytest

from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.cluster import Cluster
from tests.support.documented import PREFIX
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

ALLOW = {f"{PREFIX}allow-merge": "true"}
MERGE = {"creationPolicy": "Merge"}


# The garbage collector looks for new kinds of resource every 30 s only.
COLLECTED = 60.0


@pytest.fixture(autouse=True)
def credentials(kube: Kube, namespace: str) -> None:
    kube.create_credentials(namespace)


def test_a_foreign_secret_is_left_alone(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    foreign = kube.create_secret(namespace, "search", {"theirs": "text"})
    start_operator()
    kube.create_token(namespace)

    kube.until(namespace, "Ready", "TargetNotOwned")
    assert kube.secret_object(namespace, "search") == foreign
    assert not endpoint.requests

    kube.delete(secret_path(namespace, "search"))
    kube.until(namespace, "Ready", "TokenValid")


def test_of_two_resources_the_older_one_keeps_the_target(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_token(namespace, "zebra", target={"name": "shared"})
    kube.until(namespace, "Ready", "TokenValid", "zebra")
    # Ages are in whole seconds, and of one age the first in the alphabet is the older one.
    kube.create_token(namespace, "zoo", target={"name": "shared"})
    kube.until(namespace, "Ready", "TargetConflict", "zoo")
    assert "zebra" in (kube.condition(namespace, "zoo", "Ready") or {})["message"]
    assert endpoint.exchanges == 1

    kube.delete(token_path(namespace, "zebra"))
    # The younger one waits until the Secret of the older one has been collected.
    kube.until(namespace, "Ready", "TokenValid", "zoo", COLLECTED)
    assert endpoint.exchanges == 2


def test_merge_writes_its_keys_beside_those_of_others(
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
        lambda: kube.secret(namespace, "search") == {"theirs": "text"}, "our keys are taken out"
    )
    secret = kube.secret_object(namespace, "search")
    assert secret is not None
    assert secret["metadata"]["labels"] == {"a": "b"}
    assert secret["metadata"]["annotations"] == ALLOW


def test_merge_with_retain_leaves_its_keys(
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

    # The later deletion has been dealt with, so the earlier one has too.
    eventually(
        lambda: kube.secret(namespace, "other") == {"theirs": "text"}, "our keys are taken out"
    )
    assert "access_token" in (kube.secret(namespace, "search") or {})


def test_a_merged_token_whose_resource_went_while_the_operator_was_away_is_taken_out(
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
        lambda: kube.secret(namespace, "search") == {"theirs": "text"}, "our keys are taken out"
    )


def test_delete_takes_the_target_with_the_resource(
    kube: Kube, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")

    kube.delete(token_path(namespace, "search"))

    eventually(
        lambda: kube.secret_object(namespace, "search") is None, "it is collected", COLLECTED
    )


@pytest.mark.parametrize("cascade", ["foreground", "background"])
def test_kubectl_delete_ends(
    cluster: Cluster, kube: Kube, namespace: str, start_operator: StartOperator, cascade: str
) -> None:
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")

    cluster.kubectl("delete", "-n", namespace, "pat", "search", f"--cascade={cascade}")

    eventually(
        lambda: kube.secret_object(namespace, "search") is None, "it is collected", COLLECTED
    )


def test_a_resource_that_waits_to_be_deleted_gets_no_new_token(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    kube.patch_token(namespace, "search", {"metadata": {"finalizers": ["example.com/hold"]}})
    kube.delete(token_path(namespace, "search"))
    # Resources and Secrets come by two watches, neither of which waits for the other.
    expiry = "pinecone_token_expiry_timestamp_seconds"
    eventually(lambda: math.isnan(operator.metric(expiry, name="search")), "it is known to go")
    kube.delete(secret_path(namespace, "search"))

    # The later resource has been dealt with, so the earlier deletion has too.
    kube.create_token(namespace, "other")
    kube.until(namespace, "Ready", "TokenValid", "other")
    assert kube.secret(namespace, "search") is None
    assert endpoint.exchanges == 2
    kube.patch_token(namespace, "search", {"metadata": {"finalizers": None}})


def test_retain_leaves_the_target_and_a_new_resource_of_the_same_name_takes_it_over(
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
    # Whoever collects owned Secrets has been at work.
    eventually(
        lambda: kube.secret_object(namespace, "other") is None, "the other is collected", COLLECTED
    )
    assert kube.secret_object(namespace, "search") == before

    kube.create_token(namespace, target={"deletionPolicy": "Retain"})
    kube.until(namespace, "Ready", "TokenValid")


def test_a_secret_that_was_merged_into_is_never_taken_over(
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


def test_a_policy_changed_to_retain_lets_the_target_stay(
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


def test_an_immutable_target_is_named_as_what_it_is_and_costs_one_exchange(
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
        "Refreshed says TargetNotWritable",
    )
    assert "immutable" in (kube.condition(namespace, "search", "Refreshed") or {})["message"]
    eventually(
        lambda: ((kube.token(namespace) or {}).get("status") or {}).get("failedAttempts", 0) > 1,
        "it is tried again",
    )
    assert endpoint.exchanges == 2
    kube.delete(secret_path(namespace, "search"))
    kube.until(namespace, "Ready", "TokenValid")
    eventually(
        lambda: (kube.secret(namespace, "search") or {}).get("access_token") == endpoint.tokens[-1],
        "the pending token is written",
    )
    assert endpoint.exchanges == 2
