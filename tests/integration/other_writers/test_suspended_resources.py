"""A suspended resource's policies change.

Right is: suspend is for token requests. Who deletes the token with the resource is set even so.
"""

from tests.support.api import Kube, eventually, secret_path
from tests.support.documented import ALLOW_MERGE, DELETION_POLICY
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint


def test_retain_takes_effect_while_suspended(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    kube.create_secret(namespace, "merged", {"theirs": "x"}, annotations={ALLOW_MERGE: "true"})
    kube.create_token(namespace, "owned")
    kube.create_token(namespace, "merged", target={"creationPolicy": "Merge"})

    def set_policy(policy: str) -> None:
        spec = {"suspend": True, "target": {"deletionPolicy": policy}}
        for name in ("owned", "merged"):
            kube.patch_token(namespace, name, {"spec": spec})

    def ownership() -> tuple[bool, str]:
        owned, merged = (
            (kube.get(secret_path(namespace, name)) or {})["metadata"]
            for name in ("owned", "merged")
        )
        return "ownerReferences" in owned, merged["annotations"][DELETION_POLICY]

    for name in ("owned", "merged"):
        kube.until(namespace, "Ready", "TokenValid", name)
    set_policy("Retain")
    eventually(lambda: ownership() == (False, "Retain"), "both are retained")
    set_policy("Delete")
    eventually(lambda: ownership() == (True, "Delete"), "both are deleted with their resources")
    assert endpoint.exchanges == 2
    for name in ("owned", "merged"):
        assert kube.reason(namespace, name, "Refreshed") == "Suspended"
