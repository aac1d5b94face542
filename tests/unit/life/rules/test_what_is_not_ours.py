"""Rule: what is not ours stays.

Keys, labels, annotations and Secrets of others are never changed or removed, in any namespace, in
any order of events, copies of our own Secrets included. What `Merge` would overwrite is refused
with a reason instead. Ownership is by UID, never by name alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.life.lab import HOUR, MINUTE, Lab
from tests.life.paths import SECRETS, secrets_path
from tests.life.writers import Replicator
from tests.support.documented import ALLOW_MERGE
from tests.support.encoding import encode

THEIRS: Mapping[str, Any] = {
    "data": {"db-password": encode("theirs"), "region": encode("eu")},
    "labels": {"app": "billing"},
    "annotations": {"team-owner": "alice", ALLOW_MERGE: "true"},
}
CLAIMS: dict[str, Mapping[str, Any]] = {
    "a key": {"data": {"db-password": "x"}},
    "a label": {"metadata": {"labels": {"app": "evil"}}},
    "an annotation": {"metadata": {"annotations": {"team-owner": "mallory"}}},
    "the merge permission": {"metadata": {"annotations": {ALLOW_MERGE: "false"}}},
}


def put_theirs(lab: Lab, **more: str) -> None:
    metadata = {"labels": THEIRS["labels"], "annotations": THEIRS["annotations"]}
    data = {**THEIRS["data"], **{key: encode(value) for key, value in more.items()}}
    lab.put_secret("app", data, **metadata)


def is_theirs(lab: Lab) -> bool:
    """Return whether everything of the owner's is still in the Secret."""
    found = lab.api.find(f"{SECRETS}/app") or {}
    actual = {"data": found["data"], **found["metadata"]}
    return all(actual.get(part, {}).items() >= theirs.items() for part, theirs in THEIRS.items())


@pytest.mark.parametrize("claim", CLAIMS)
def test_merge_refuses_to_overwrite(lab: Lab, claim: str) -> None:
    put_theirs(lab)
    lab.create("a", target={"name": "app", "creationPolicy": "Merge", "template": CLAIMS[claim]})
    lab.run(MINUTE)

    assert is_theirs(lab)
    assert lab.complaints("a")
    lab.delete_resource("a")
    lab.run(HOUR)
    assert is_theirs(lab)


def test_merge_refuses_to_overwrite_another_token(lab: Lab) -> None:
    put_theirs(lab, access_token="of another service")
    lab.create("a", target={"name": "app", "creationPolicy": "Merge"})
    lab.run(MINUTE)

    assert (lab.data("app") or {})["access_token"] == "of another service"
    assert any("access_token" in complaint for complaint in lab.complaints("a"))


def test_merged_secret_keeps_what_others_add_later(lab: Lab) -> None:
    put_theirs(lab)
    lab.create("a", target={"name": "app", "creationPolicy": "Merge"})
    lab.wait_until_ready("a")
    added = {"data": {"more": encode("x")}, "metadata": {"labels": {"more": "x"}}}
    lab.patch_secret("app", added)
    lab.run(2 * HOUR)
    lab.delete_resource("a")
    lab.run(HOUR)

    assert is_theirs(lab)
    assert set(lab.data("app") or {}) == {"db-password", "region", "more"}


@pytest.mark.parametrize("policy", ["Owner", "Merge"])
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_copy_in_another_namespace_is_left_alone(
    make_lab: Callable[..., Lab], policy: str, *, restarted: bool
) -> None:
    lab = make_lab("shop", "copies")
    if policy == "Merge":
        put_theirs(lab)
    lab.writers.append(Replicator(lab, "app", "shop", "copies"))
    lab.create("a", target={"name": "app", "creationPolicy": policy})
    lab.wait_until_ready("a")
    lab.run(1)
    copy = lab.data("app", "copies")
    if restarted:
        lab.crash()
    lab.run(30)

    assert copy
    for _ in lab.passing(3 * HOUR, 10 * MINUTE):
        assert set(lab.data("app", "copies") or {}) == set(copy)
    assert not [one for one in lab.writes() if one.path.startswith(secrets_path("copies"))]


def test_copy_is_not_taken_over_by_a_resource_of_the_same_name(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab("shop", "copies")
    replicator = Replicator(lab, "app", "shop", "copies")
    lab.writers.append(replicator)
    lab.create("a", target={"name": "app"})
    lab.wait_until_ready("a")
    lab.run(1)
    replicator.active = False
    copy = lab.data("app", "copies")
    lab.create("a", "copies", target={"name": "app"})
    lab.run(HOUR)

    assert lab.data("app", "copies") == copy
    assert not lab.is_ready("a", "copies")


@pytest.mark.parametrize("deletion", ["Delete", "Retain"])
def test_secret_put_in_place_of_the_target_is_left_alone(lab: Lab, deletion: str) -> None:
    lab.create("a", target={"name": "app", "deletionPolicy": deletion})
    lab.wait_until_ready("a")
    lab.delete_secret("app")
    lab.put_secret("app", {"db-password": encode("theirs")})
    lab.run(2 * HOUR)

    assert lab.data("app") == {"db-password": "theirs"}
    assert lab.complaints("a")


def test_unrelated_conditions_stay_in_the_status(lab: Lab) -> None:
    lab.create("a")
    lab.wait_until_ready("a")
    path = "/apis/pinecone.token-operator.dev/v1alpha1/namespaces/shop/pineconeaccesstokens/a"
    status = (lab.api.find(path) or {})["status"]
    theirs = {
        "type": "example.com/Audited",
        "status": "True",
        "reason": "Audited",
        "message": "",
        "lastTransitionTime": "2026-11-25T12:00:00Z",
    }
    patch = {"status": {"conditions": [*status["conditions"], theirs]}}
    lab.ask("PATCH", f"{path}/status", patch, by="auditor")
    lab.run(3 * HOUR)

    assert lab.conditions("a")["example.com/Audited"] == theirs
