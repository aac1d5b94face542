"""A token is merged into a Secret of someone else's.

Right is: what is there already is never overwritten, and only what we wrote is removed.
"""

from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.documented import ALLOW_MERGE
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

_TEMPLATE = {
    "metadata": {"labels": {"app": "search"}, "annotations": {"contact": "us"}},
    "data": {"db-password": "x", "header": "Bearer ${access_token}"},
}


def test_merge_overwrites_nothing_and_removes_only_its_own(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    theirs = {"db-password": "theirs", "access_token": "theirs", "region": "eu"}
    annotations = {ALLOW_MERGE: "true", "contact": "them"}
    before = kube.create_secret(
        namespace, "search", theirs, labels={"app": "billing"}, annotations=annotations
    )
    start_operator()
    kube.create_token(namespace, target={"creationPolicy": "Merge", "template": _TEMPLATE})

    kube.until(namespace, "Ready", "TargetConflict")
    message = (kube.condition(namespace, "search", "Ready") or {})["message"]
    for found in ("key access_token", "key db-password", "label app", "annotation contact"):
        assert found in message
    assert kube.secret_object(namespace, "search") == before
    assert endpoint.exchanges == 0

    # Its owner gives way in part, and the template in part.
    removed = {"access_token": None, "db-password": None}
    kube.patch(secret_path(namespace, "search"), {"data": removed})
    names = {"labels": {"app": None, "tier": "api"}, "annotations": {"contact": None}}
    kube.patch_token(namespace, "search", {"spec": {"target": {"template": {"metadata": names}}}})
    kube.until(namespace, "Ready", "TokenValid")
    merged = kube.secret_object(namespace, "search") or {}
    assert merged["metadata"]["labels"].items() >= {"app": "billing", "tier": "api"}.items()
    assert merged["metadata"]["annotations"]["contact"] == "them"

    # What others add later stays, too; and a key of ours that someone takes over is ours still.
    kube.patch(secret_path(namespace, "search"), {"data": {"later": "dGhlaXJz"}})
    kube.delete(token_path(namespace, "search"))
    eventually(
        lambda: kube.secret(namespace, "search") == {"region": "eu", "later": "theirs"},
        "only ours is removed",
    )
    left = (kube.secret_object(namespace, "search") or {})["metadata"]
    assert left["labels"] == {"app": "billing"}
    assert left["annotations"] == annotations
