"""Rights are taken away from the operator while it runs, in one namespace or for one verb.

Right is: the others are unaffected, also across a restart; the one is reported, and taken up again.
"""

import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Kube, KubeError, eventually, secret_path
from tests.support.cluster import Cluster
from tests.support.operator_process import Operator, StartOperator
from tests.support.rights import ACCOUNT, chart_kubeconfig
from tests.support.token_endpoint import TokenEndpoint

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_SERVED = "pinecone_token_namespace_served"


@pytest.fixture
def other(kube: Kube) -> Iterator[str]:
    """Return a second namespace with credentials."""
    name = f"other-{uuid.uuid4().hex[:12]}"
    kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    kube.create_credentials(name)
    yield name
    delete_namespace(kube, name)


@pytest.fixture
def operator(
    cluster: Cluster,
    kube: Kube,
    namespace: str,
    other: str,
    start_operator: StartOperator,
    tmp_path: Path,
) -> Operator:
    """Return an operator with the chart's rights in two namespaces, and a token in each."""
    kubeconfig = chart_kubeconfig(cluster, namespace, [namespace, other], tmp_path)
    started = start_operator(
        namespace, other, options=("--resync-interval", "10s"), kubeconfig=kubeconfig
    )
    for each in (namespace, other):
        kube.create_token(each)
        kube.until(each, "Ready", "TokenValid")
    return started


def delete_namespace(kube: Kube, name: str) -> None:
    try:
        kube.delete(f"/api/v1/namespaces/{name}")
    except KubeError as error:
        if error.status not in (404, 409):
            raise


def test_namespace_without_rights_leaves_others_alone(
    kube: Kube, namespace: str, other: str, operator: Operator
) -> None:
    binding = f"{_RBAC}/namespaces/{other}/rolebindings/{ACCOUNT}"
    removed = kube.get(binding)
    assert removed is not None
    kube.delete(binding)
    # Watches that are open stay so; the next list is refused.
    eventually(
        lambda: f"Failed to list resources in namespace {other}" in operator.log.read_text("utf-8"),
        "the loss is reported",
        timeout=30,
    )
    assert operator.metric(_SERVED, namespace=other) == 0
    assert operator.metric(_SERVED, namespace=namespace) == 1
    kube.create_token(namespace, "late")
    kube.until(namespace, "Ready", "TokenValid", "late")

    operator.kill()
    operator.start()
    kube.create_token(namespace, "later")
    kube.until(namespace, "Ready", "TokenValid", "later", timeout=20)
    operator.wait_ready()
    assert operator.metric(_SERVED, namespace=namespace) == 1
    assert operator.metric(_SERVED, namespace=other) == 0

    kube.create_token(other, "waiting")
    for field in ("resourceVersion", "uid", "creationTimestamp", "managedFields"):
        removed["metadata"].pop(field)
    kube.create(f"{_RBAC}/namespaces/{other}/rolebindings", removed)
    kube.until(other, "Ready", "TokenValid", "waiting", timeout=30)
    eventually(lambda: operator.metric(_SERVED, namespace=other) == 1, "it is served again")


def test_deleted_namespace_leaves_others_alone(
    kube: Kube, namespace: str, other: str, operator: Operator
) -> None:
    delete_namespace(kube, other)
    eventually(lambda: kube.get(f"/api/v1/namespaces/{other}") is None, "it is deleted", timeout=40)
    kube.create_token(namespace, "late")
    kube.until(namespace, "Ready", "TokenValid", "late")
    assert math.isnan(operator.metric("pinecone_token_ready", namespace=other))

    operator.kill()
    operator.start()
    kube.create_token(namespace, "later")
    kube.until(namespace, "Ready", "TokenValid", "later", timeout=20)
    operator.wait_ready()


def test_denied_reads_of_secrets_are_reported(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, operator: Operator
) -> None:
    endpoint.lifetime = 10
    kube.create_token(namespace, "short")
    kube.until(namespace, "Ready", "TokenValid", "short")
    path = f"{_RBAC}/namespaces/{namespace}/roles/{ACCOUNT}"
    rules = (kube.get(path) or {})["rules"]
    kube.patch(path, {"rules": without(rules, "secrets", "get")})
    kube.create_token(namespace, "new")

    kube.until(namespace, "Refreshed", "AccessDenied", "new", timeout=10)
    message = (kube.condition(namespace, "new", "Refreshed") or {})["message"]
    assert "lacks get on secrets" in message
    kube.until(namespace, "Refreshed", "AccessDenied", "short")
    kube.until(namespace, "Ready", "TokenExpired", "short")
    assert kube.reason(namespace, "search", "Ready") == "TokenValid"

    kube.patch(path, {"rules": rules})
    for name in ("new", "short"):
        kube.until(namespace, "Ready", "TokenValid", name, timeout=30)
        kube.until(namespace, "Refreshed", "Succeeded", name)
    assert kube.secret(namespace, "new") is not None
    assert operator.errors() == []
    kube.delete(secret_path(namespace, "new"))
    eventually(lambda: kube.secret(namespace, "new"), "a lost target is restored again")


_LACKING = {
    "list": ("secrets", "list"),
    "watch": ("secrets", "watch"),
    "create": ("secrets", "create"),
    "patch": ("secrets", "patch"),
    "status": ("pineconeaccesstokens/status", "patch"),
    "events": ("events", "create"),
    "nothing": ("", ""),
}


@pytest.fixture
def lacking(kube: Kube) -> Iterator[dict[str, str]]:
    """Return a namespace for each missing right."""
    suffix = uuid.uuid4().hex[:12]
    found = {name: f"no-{name}-{suffix}" for name in _LACKING}
    for each in found.values():
        kube.create("/api/v1/namespaces", {"metadata": {"name": each}})
        kube.create_credentials(each)
    yield found
    for each in found.values():
        delete_namespace(kube, each)


def test_missing_right_affects_its_namespace_only(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    lacking: dict[str, str],
    start_operator: StartOperator,
    tmp_path: Path,
) -> None:
    endpoint.lifetime = 12
    kubeconfig = chart_kubeconfig(cluster, namespace, list(lacking.values()), tmp_path)
    for name, (resource, verb) in _LACKING.items():
        path = f"{_RBAC}/namespaces/{lacking[name]}/roles/{ACCOUNT}"
        rules = (kube.get(path) or {})["rules"]
        kube.patch(path, {"rules": without(rules, resource, verb)})
        kube.create_token(lacking[name])
    operator = start_operator(*lacking.values(), kubeconfig=kubeconfig, wait=False)

    for name in ("nothing", "events", "patch"):
        kube.until(lacking[name], "Ready", "TokenValid", timeout=30)
    kube.until(lacking["create"], "Refreshed", "TargetNotWritable")
    refreshed = kube.condition(lacking["create"], "search", "Refreshed") or {}
    assert "lacks create on secrets" in refreshed["message"]
    eventually(lambda: kube.secret(lacking["status"], "search"), "there is a token without status")
    for name in ("list", "watch"):
        assert operator.metric(_SERVED, namespace=lacking[name]) == 0
        kube.until(lacking[name], "Ready", "TokenValid")
    # At the refresh.
    kube.until(lacking["patch"], "Refreshed", "TargetNotWritable")
    refreshed = kube.condition(lacking["patch"], "search", "Refreshed") or {}
    assert "lacks patch on secrets" in refreshed["message"]
    for name in ("nothing", "events", "list", "watch"):
        assert kube.reason(lacking[name], "search", "Ready") == "TokenValid"
    operator.wait_ready()


def without(rules: list[dict[str, Any]], resource: str, verb: str) -> list[dict[str, Any]]:
    """Return the rules without one verb for one resource."""
    found = []
    for rule in rules:
        verbs = [one for one in rule["verbs"] if resource not in rule["resources"] or one != verb]
        found += [rule | {"verbs": verbs}] if verbs else []
    return found
