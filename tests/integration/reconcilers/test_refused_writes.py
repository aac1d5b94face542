"""Writes of a target that the API server refuses: reported with the cause, and no token is lost."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.support.api import Kube, KubeError, eventually, secret_path
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"


@contextmanager
def quota(kube: Kube, namespace: str) -> Iterator[str]:
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    secrets = {"spec": {"hard": {"secrets": "1"}}}
    kube.create(path, {"metadata": {"name": "few-secrets"}, **secrets})

    def counted() -> bool:
        status = (kube.get(f"{path}/few-secrets") or {}).get("status", {})
        return (status.get("used") or {}).get("secrets") == "1"

    eventually(counted, "the quota counts the credentials")
    yield "ResourceQuota few-secrets is exceeded"
    kube.delete(f"{path}/few-secrets")


@contextmanager
def policy(kube: Kube, namespace: str) -> Iterator[str]:
    name = f"no-tokens-{namespace}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}
    validation = {
        "expression": "!('access_token' in object.data)",
        "messageExpression": "'secret: ' + object.data['access_token']",
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule | {"operations": ["CREATE", "UPDATE"]}]},
        "validations": [validation],
    }
    kube.create(
        f"{_ADMISSION}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec}
    )
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": here},
    }
    kube.create(
        f"{_ADMISSION}/validatingadmissionpolicybindings",
        {"metadata": {"name": name}, "spec": binding},
    )

    def enforced() -> bool:
        try:
            kube.create_secret(namespace, "probe", {"access_token": "probe"})
        except KubeError:
            return True
        kube.delete(secret_path(namespace, "probe"))
        return False

    eventually(enforced, "the policy is enforced", timeout=30)
    yield f"ValidatingAdmissionPolicy {name} denied it"
    for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        kube.delete(f"{_ADMISSION}/{kind}/{name}")


@pytest.mark.parametrize("refusing", [quota, policy])
def test_refused_write_is_reported_at_one_exchange(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    refusing: Callable[[Kube, str], AbstractContextManager[str]],
) -> None:
    start_operator()
    kube.create_credentials(namespace)
    with refusing(kube, namespace) as words:
        kube.create_token(namespace)

        def retried() -> bool:
            status = (kube.token(namespace) or {}).get("status", {})
            return bool(status.get("failedAttempts", 0) >= 3)

        eventually(retried, "the write is retried", timeout=30)
        refreshed = kube.condition(namespace, "search", "Refreshed") or {}
        assert refreshed["reason"] == "TargetNotWritable"
        assert words in refreshed["message"]
        assert kube.secret(namespace, "search") is None
        assert endpoint.exchanges == 1

    written = eventually(lambda: kube.secret(namespace, "search"), "the token is written", 30)
    assert written["access_token"] == endpoint.tokens[0]
    assert endpoint.exchanges == 1
