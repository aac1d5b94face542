"""Admission changes what is written to a target.

Right is: Ready is about what was stored. A token that was emptied or changed is not one, and costs
no more exchanges; what else was changed is reported and holds nothing up.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support.admission import ALLOW, AdmissionWebhook, Verdict, change, probe
from tests.support.api import Kube, eventually
from tests.support.documented import PREFIX
from tests.support.encoding import encode
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_ALTERED = "emptied", "altered"
_DELIVERED = "labels", "annotations", "added"


def review(secret: Mapping[str, Any]) -> Verdict:
    """Change a Secret in the way that its name says."""
    name = secret["metadata"]["name"]
    if "access_token" not in secret.get("data", {}):
        return ALLOW
    if name == "emptied":
        return change([{"op": "replace", "path": "/data/access_token", "value": ""}])
    if name == "altered":
        return change([{"op": "replace", "path": "/data/access_token", "value": encode("x")}])
    if name == "added":
        return change([{"op": "add", "path": "/data/injected", "value": encode("theirs")}])
    ours = [key for key in secret["metadata"].get(name, ()) if key.startswith(PREFIX)]
    return change([{"op": "remove", "path": f"/metadata/{name}"}] if ours else [])


def test_ready_is_about_what_admission_lets_through(
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    webhook: AdmissionWebhook,
) -> None:
    endpoint.lifetime = 12
    webhook.review = review
    start_operator()
    with webhook.registered(kube, namespace):
        for name in (*_ALTERED, *_DELIVERED):
            kube.create_token(namespace, name)
        for name in _ALTERED:
            kube.until(namespace, "Refreshed", "TargetAltered", name)
            message = (kube.condition(namespace, name, "Refreshed") or {})["message"]
            assert "key access_token differs" in message
            assert "admission" in message
        for name in _DELIVERED:
            kube.until(namespace, "Ready", "TokenValid", name)
        for name in ("labels", "annotations"):
            kube.until(namespace, "Refreshed", "TargetIncomplete", name)
        assert kube.reason(namespace, "added", "Refreshed") == "Succeeded"
        before = {name: kube.secret(namespace, name) for name in _DELIVERED}
        assert (before["added"] or {})["injected"] == "theirs"
        assert endpoint.exchanges == 5
        for name in _DELIVERED:
            eventually(
                lambda name=name: (  # type: ignore[misc]
                    (kube.secret(namespace, name) or {})["access_token"]
                    != (before[name] or {})["access_token"]
                ),
                f"{name} is refreshed",
            )
            assert kube.reason(namespace, name, "Ready") == "TokenValid"
        for name in _ALTERED:
            assert (kube.condition(namespace, name, "Ready") or {})["status"] == "False"
        # One each, and one each at its time.
        assert endpoint.exchanges <= 10
        # A policy of the cluster is deliberate: the operator does not keep writing against it.
        assert (kube.secret(namespace, "added") or {})["injected"] == "theirs"
    for name in (*_ALTERED, *_DELIVERED):
        kube.until(namespace, "Ready", "TokenValid", name, timeout=30)


@contextmanager
def emptying_policy(kube: Kube, namespace: str) -> Iterator[None]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}
    empty = '[JSONPatch{op: "replace", path: "/data/access_token", value: ""}]'
    spec = {
        "matchConstraints": {"resourceRules": [rule | {"operations": ["CREATE", "UPDATE"]}]},
        "matchConditions": [
            {
                "name": "token",
                "expression": "has(object.data) && 'access_token' in object.data",
            }
        ],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": empty}}],
    }
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    binding = {"policyName": namespace, "matchResources": {"namespaceSelector": here}}
    objects = {"mutatingadmissionpolicies": spec, "mutatingadmissionpolicybindings": binding}
    for kind, body in objects.items():
        kube.create(f"{_ADMISSION}/{kind}", {"metadata": {"name": namespace}, "spec": body})
    try:
        eventually(
            lambda: probe(kube, namespace)["data"]["access_token"] == "",
            "the policy is enforced",
            poll=0.2,
        )
        yield
    finally:
        for kind in objects:
            kube.delete(f"{_ADMISSION}/{kind}/{namespace}")


def test_token_emptied_by_a_policy_is_not_ready(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    with emptying_policy(kube, namespace):
        kube.create_token(namespace)
        kube.until(namespace, "Refreshed", "TargetAltered")
        assert (kube.condition(namespace, "search", "Ready") or {})["status"] == "False"
    kube.until(namespace, "Ready", "TokenValid", timeout=30)
    assert endpoint.exchanges == 1
