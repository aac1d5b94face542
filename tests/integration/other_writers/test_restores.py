"""A backup tool restores resources and Secrets: new UIDs, no owner references, in either order.

Right is: each resource has its target again, with one exchange for each new state.
"""

import contextlib
from typing import Any

import pytest

from tests.support.api import Kube, KubeError, eventually, secret_path, token_path
from tests.support.documented import ALLOW_MERGE
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint


def back_up(obj: dict[str, Any] | None) -> dict[str, Any]:
    """Return an object as Velero restores it: without its identity, owners and status."""
    assert obj is not None
    dropped = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "ownerReferences")
    metadata = {key: value for key, value in obj["metadata"].items() if key not in dropped}
    return {key: value for key, value in obj.items() if key != "status"} | {"metadata": metadata}


@pytest.mark.parametrize("first", ["secret", "resource"])
def test_restored_resource_has_its_target_again(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator, first: str
) -> None:
    operator = start_operator()
    allowed = {ALLOW_MERGE: "true"}
    kube.create_secret(namespace, "merged", {"theirs": "x"}, annotations=allowed)
    targets = {"owned": {}, "retained": {"deletionPolicy": "Retain"}}
    targets["merged"] = {"creationPolicy": "Merge"}
    for name, target in targets.items():
        kube.create_token(namespace, name, target=target)
    for name in targets:
        kube.until(namespace, "Ready", "TokenValid", name)
    secrets = {name: back_up(kube.secret_object(namespace, name)) for name in targets}
    resources = {name: back_up(kube.token(namespace, name)) for name in targets}
    operator.stop()
    for name in targets:
        kube.delete(token_path(namespace, name))
        with contextlib.suppress(KubeError):  # it may have been collected
            kube.delete(secret_path(namespace, name))
    operator.start()
    operator.wait_ready()

    for name in targets:
        if first == "secret":
            kube.create(secret_path(namespace), secrets[name])
            kube.create(token_path(namespace), resources[name])
            continue
        kube.create(token_path(namespace), resources[name])
        if name == "merged":
            kube.until(namespace, "Ready", "TokenMissing", name)
            kube.create(secret_path(namespace), secrets[name])
        else:
            # What is there already is updated, as with existingResourcePolicy: update.
            kube.until(namespace, "Ready", "TokenValid", name)
            old = secrets[name]
            metadata = {key: old["metadata"][key] for key in ("labels", "annotations")}
            patch = {"data": old["data"], "metadata": metadata}
            kube.patch(secret_path(namespace, name), patch)

    for name in targets:
        kube.until(namespace, "Ready", "TokenValid", name)
        uid = (kube.token(namespace, name) or {})["metadata"]["uid"]
        eventually(
            lambda name=name, uid=uid: (  # type: ignore[misc]
                uid in (kube.secret_object(namespace, name) or {})["metadata"]["labels"].values()
            ),
            f"{name} carries the new UID",
        )
        restored = kube.secret(namespace, name) or {}
        assert restored["access_token"] in endpoint.tokens[len(targets) :]
    assert (kube.secret(namespace, "merged") or {})["theirs"] == "x"
    # What was restored over a new target costs a second one.
    restored_over = 2 if first == "resource" else 0
    assert endpoint.exchanges == 2 * len(targets) + restored_over
    owners = (kube.secret_object(namespace, "owned") or {})["metadata"]["ownerReferences"]
    assert len(owners) == 1
