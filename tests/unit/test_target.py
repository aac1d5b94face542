"""What is read from the target and written to it."""

import base64
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.desired import desire, removal_patch, secret_patch
from pinecone_token_operator.models import PREFIX
from pinecone_token_operator.target import is_owned_by, read_target, stored_token
from tests.unit.core import NOW, UID, merge_patched, resource, secret, target, token

TEMPLATE = {
    "metadata": {"labels": {"team": "search"}, "annotations": {"note": "text"}},
    "data": {"authorization": "Bearer ${access_token}"},
}

names = st.sampled_from(
    ["access_token", "token_type", "authorization", "theirs", "other", f"{PREFIX}data", "team"]
)
maps = st.dictionaries(names, st.sampled_from(["", "YQ==", "text", "opaque"]), max_size=4)


def test_what_was_written_is_read_again() -> None:
    assert stored_token(target(resource(), token()), UID) == token()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"data": {"access_token": "YQ=="}}, id="another token"),
        pytest.param({"data": {"access_token": "no base64"}}, id="a token that is no base64"),
        pytest.param({"data": {"access_token": None}}, id="no token"),
        pytest.param({"data": None}, id="no data"),
        *(
            pytest.param({"metadata": {"annotations": {f"{PREFIX}{name}": value}}}, id=what)
            for name, value, what in (
                ("expires-at", "2026-11-25T13:00:00Z", "a later expiry"),
                ("refreshed-at", "2026-11-25T11:00:00Z", "an earlier refresh"),
                ("credentials", "other", "another origin"),
                ("data", "0" * 32, "another seal"),
                ("data", "\N{SNOWMAN}", "a seal that is no hexadecimal number"),
                ("expires-at", "soon", "an expiry that is no time"),
                ("refresh-at", None, "no plan"),
            )
        ),
    ],
)
def test_what_cannot_be_proven_is_not_believed(damage: dict[str, Any]) -> None:
    damaged = merge_patched(secret(resource(), token()), damage)
    assert stored_token(read_target(damaged), UID) is None


def test_a_seal_is_of_one_resource() -> None:
    assert stored_token(target(resource(), token()), "uid-2") is None


def test_a_target_as_it_should_be_needs_no_patch() -> None:
    asked = resource(target={"template": TEMPLATE})
    assert secret_patch(target(asked, token()), desire(asked, token()), UID) is None


@given(
    damage=st.fixed_dictionaries(
        {},
        optional={
            "data": maps,
            "metadata": st.fixed_dictionaries({}, optional={"labels": maps, "annotations": maps}),
        },
    ),
    policy=st.sampled_from(["Delete", "Retain"]),
    creation=st.sampled_from(["Owner", "Merge"]),
    refreshed=st.booleans(),
)
def test_a_patch_repairs_everything_of_ours_and_touches_nothing_of_others(
    damage: dict[str, Any], policy: str, creation: str, refreshed: bool
) -> None:
    asked = resource(
        target={"template": TEMPLATE, "deletionPolicy": policy, "creationPolicy": creation}
    )
    found = merge_patched(secret(asked, token()), damage)
    held = token(access_token="newer", refreshed_at=NOW + timedelta(1)) if refreshed else token()
    desired = desire(asked, held)
    patch = secret_patch(read_target(found), desired, UID)
    after = merge_patched(found, patch) if patch else found
    assert secret_patch(read_target(after), desired, UID) is None
    assert base64.b64decode(after["data"]["access_token"]).decode() == held.access_token
    for part in (("data",), ("metadata", "labels"), ("metadata", "annotations")):
        before, now = deepcopy(found), after
        for step in part:
            before, now = before.get(step) or {}, now.get(step) or {}
        for name in ("theirs", "other"):
            assert now.get(name) == before.get(name)


def test_without_the_data_at_hand_all_our_keys_are_written() -> None:
    asked = resource(target={"template": TEMPLATE})
    newer = token(access_token="newer")
    patch = secret_patch(target(asked, token()).without_data(), desire(asked, newer), UID)
    assert patch is not None
    assert set(patch["data"]) == {"access_token", "token_type", "expires_at", "authorization"}
    assert patch["metadata"]["resourceVersion"] == "1"


def test_what_the_template_no_longer_names_is_taken_away() -> None:
    before = secret(resource(target={"template": TEMPLATE}), token())
    asked = resource()
    patch = secret_patch(read_target(before), desire(asked, token()), UID)
    after = merge_patched(before, patch)
    assert set(after["data"]) == {"access_token", "token_type", "expires_at"}
    assert "team" not in after["metadata"]["labels"]
    assert "note" not in after["metadata"]["annotations"]


def test_removal_leaves_nothing_of_ours_and_all_of_others() -> None:
    theirs: dict[str, Any] = {
        "metadata": {
            "labels": {"theirs": "yes"},
            "annotations": {f"{PREFIX}allow-merge": "true", "theirs": "yes"},
        },
        "data": {"theirs": "YQ=="},
    }
    asked = resource(target={"template": TEMPLATE, "creationPolicy": "Merge"})
    merged = merge_patched(secret(asked, token()), theirs)
    after = merge_patched(merged, removal_patch(read_target(merged)))
    assert after["data"] == theirs["data"]
    assert after["metadata"]["labels"] == theirs["metadata"]["labels"]
    assert after["metadata"]["annotations"] == theirs["metadata"]["annotations"]


OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "somebody"}


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param({}, True, id="as it was written"),
        pytest.param({"metadata": {"labels": None}}, True, id="without labels, by its owner"),
        pytest.param({"metadata": {"ownerReferences": None}}, True, id="without owner, by label"),
        pytest.param(
            {"metadata": {"ownerReferences": None, "labels": None}},
            True,
            id="left by a resource of this name",
        ),
        pytest.param({"metadata": {"ownerReferences": [OWNER]}}, False, id="owned by another"),
        pytest.param(
            {"metadata": {"ownerReferences": None, "labels": None, "annotations": None}},
            False,
            id="with nothing that says so",
        ),
    ],
)
def test_a_target_is_ours(damage: dict[str, Any], expected: bool) -> None:
    found = merge_patched(secret(resource(), token()), damage)
    assert is_owned_by(read_target(found), resource()) is expected


def test_no_token_is_shown_by_repr() -> None:
    shown = repr(target(resource(), token())) + repr(token()) + repr(desire(resource(), token()))
    assert "opaque" not in shown
    assert base64.b64encode(b"opaque").decode() not in shown
    assert "opaque" not in repr(replace(token(), access_token="opaque-too"))
