"""Replicators and people copy targets, with our labels and annotations, anywhere.

Right is: a copy is someone else's Secret. It is neither changed nor stripped, whatever becomes of
the resource whose token it holds.
"""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.documented import ALLOW_MERGE
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint


@pytest.fixture
def other(kube: Kube) -> Iterator[str]:
    name = f"other-{uuid.uuid4().hex[:12]}"
    kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    kube.remove_namespace(name)


def replicate(kube: Kube, secret: Mapping[str, Any], namespace: str, name: str) -> dict[str, Any]:
    metadata = {key: secret["metadata"][key] for key in ("labels", "annotations")}
    body = {"type": secret["type"], "data": secret["data"], "metadata": metadata | {"name": name}}
    return kube.create(secret_path(namespace), body)


@pytest.mark.parametrize("policy", ["Owner", "Merge"])
def test_replica_survives_the_deletion_of_the_original(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    other: str,
    start_operator: StartOperator,
    policy: str,
) -> None:
    operator = start_operator(namespace, other)
    if policy == "Merge":
        kube.create_secret(namespace, "search", {}, annotations={ALLOW_MERGE: "true"})
    kube.create_token(namespace, target={"creationPolicy": policy})
    kube.until(namespace, "Ready", "TokenValid")
    original = kube.secret_object(namespace, "search")
    assert original is not None
    copies = [
        replicate(kube, original, *place)
        for place in ((other, "search"), (other, "renamed"), (namespace, "renamed"))
    ]
    # A resource that names a copy does not own it either.
    kube.create_credentials(other)
    kube.create_token(other, "search")
    kube.create_token(namespace, "renamed")
    kube.until(other, "Ready", "TargetNotOwned", "search")
    kube.until(namespace, "Ready", "TargetNotOwned", "renamed")
    exchanges = endpoint.exchanges

    kube.delete(token_path(namespace, "search"))
    if policy == "Merge":
        eventually(lambda: kube.secret(namespace, "search") == {}, "the original is cleaned up")
    operator.stop()
    operator.start()  # everything is listed again
    operator.wait_ready()
    kube.create_token(other, "later")
    kube.until(other, "Ready", "TokenValid", "later")

    for copy in copies:
        metadata = copy["metadata"]
        assert kube.secret_object(metadata["namespace"], metadata["name"]) == copy
    assert endpoint.exchanges == exchanges + 1
