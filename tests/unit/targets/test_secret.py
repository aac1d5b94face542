import json
from dataclasses import replace
from typing import Any

import pytest

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.targets.secret import (
    content_patch,
    desire,
    differs,
    essential,
    overwritten,
    ownership_differs,
    ownership_patch,
    reference_to,
    removal_patch,
    secret_to_create,
)
from pinecone_token_operator.targets.target import Target, read_target, stored_token
from tests.support.builders import (
    UID,
    decode,
    encode,
    make_resource,
    make_secret,
    make_spec,
    make_target,
    make_token,
    stored_secret,
)
from tests.support.documented import (
    ALLOW_MERGE,
    CHECKSUM,
    CREDENTIALS,
    CREDENTIALS_SOURCE,
    DELETION_POLICY,
    EXPIRES_AT,
    MANAGED,
    REFRESH_AT,
    REFRESH_REQUEST,
    REFRESHED_AT,
    RELOADER_IGNORE,
    RESOURCE,
    RESOURCE_UID,
    TARGET,
)
from tests.support.merge_patch import merge

SPEC = make_spec()
OUR_REFERENCE = reference_to(SPEC.owner)
SOMEONE = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}
OWN_KEYS = {"access_token", "token_type", "expires_at"}
TEMPLATE = {
    "type": "example.com/token",
    "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
    "data": {"authorization": "${token_type} ${access_token}"},
}
TEMPLATED = make_resource(target={"name": "token", "template": TEMPLATE})
MERGING = make_resource(target={"creationPolicy": "Merge", "template": TEMPLATE})
RETAINING = make_resource(target={"deletionPolicy": "Retain"})


# A new Secret


def test_new_secret_holds_the_token_and_its_times() -> None:
    secret = secret_to_create(SPEC, desire(SPEC, make_token()))
    metadata = secret["metadata"]
    assert (secret["apiVersion"], secret["kind"], secret["type"]) == ("v1", "Secret", "Opaque")
    assert (metadata["namespace"], metadata["name"]) == ("shop", "search")
    assert decode(secret["data"]) == {
        "access_token": "t0ken",
        "token_type": "Bearer",
        "expires_at": "2026-11-25T12:30:00Z",
    }
    assert metadata["labels"] == {RESOURCE_UID: UID}
    assert metadata["ownerReferences"] == [OUR_REFERENCE]
    annotations = metadata["annotations"]
    assert annotations.pop(CHECKSUM)
    assert json.loads(annotations.pop(MANAGED)) == {
        "data": sorted(OWN_KEYS),
        "labels": [],
        "annotations": [],
    }
    assert annotations == {
        RESOURCE: "search",
        RESOURCE_UID: UID,
        TARGET: "shop/search",
        EXPIRES_AT: "2026-11-25T12:30:00Z",
        REFRESH_AT: "2026-11-25T12:19:00Z",
        REFRESHED_AT: "2026-11-25T12:00:00Z",
        CREDENTIALS: "c0ffee",
        RELOADER_IGNORE: "true",
    }
    assert "t0ken" not in json.dumps(metadata)


def with_reloader(value: str) -> PineconeAccessToken:
    return make_resource(
        target={"template": {"metadata": {"annotations": {RELOADER_IGNORE: value}}}}
    )


def test_template_can_override_the_annotation_for_reloader() -> None:
    spec = make_spec(with_reloader("false"))
    secret = secret_to_create(spec, desire(spec, make_token()))
    assert secret["metadata"]["annotations"][RELOADER_IGNORE] == "false"


def test_merged_secret_gets_no_annotation_for_reloader() -> None:
    assert desire(make_spec(MERGING), make_token()).defaults == {}


def secret_with_reloader(value: str | None) -> dict[str, Any]:
    secret = make_secret()
    annotations = secret["metadata"]["annotations"]
    annotations.pop(RELOADER_IGNORE)
    if value is not None:
        annotations[RELOADER_IGNORE] = value
    return secret


@pytest.mark.parametrize("value", [None, "false"])
def test_annotation_for_reloader_is_never_drift(value: str | None) -> None:
    target = read_target(secret_with_reloader(value))
    assert not differs(target, SPEC, make_token())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, "true", id="added to a Secret of an earlier version"),
        pytest.param("false", "false", id="another writer's value stays"),
    ],
)
def test_next_token_brings_the_annotation_for_reloader(before: str | None, after: str) -> None:
    secret = secret_with_reloader(before)
    patch = content_patch(read_target(secret), desire(SPEC, make_token(access_token="n3w")))
    assert patch is not None
    assert merge(secret, patch)["metadata"]["annotations"][RELOADER_IGNORE] == after


def test_reloader_default_returns_when_the_template_drops_it() -> None:
    spec = make_spec(with_reloader("false"))
    secret = secret_to_create(spec, desire(spec, make_token()))
    stored = stored_secret(secret)
    patch = content_patch(read_target(stored), desire(SPEC, make_token()))
    assert patch is not None
    assert merge(stored, patch)["metadata"]["annotations"][RELOADER_IGNORE] == "true"


def test_new_secret_records_the_request_that_it_served() -> None:
    desired = desire(SPEC, make_token(request="now"))
    assert desired.annotations[REFRESH_REQUEST] == "now"


def test_new_secret_has_what_its_template_adds() -> None:
    spec = make_spec(TEMPLATED)
    secret = secret_to_create(spec, desire(spec, make_token()))
    assert secret["metadata"]["name"] == "token"
    assert secret["metadata"]["annotations"][TARGET] == "shop/token"
    assert secret["type"] == "example.com/token"
    assert secret["metadata"]["labels"]["team"] == "a"
    assert secret["metadata"]["annotations"]["note"] == "b"
    data = decode(secret["data"])
    assert data["authorization"] == "Bearer t0ken"
    assert data.keys() == OWN_KEYS | {"authorization"}


def test_new_secret_has_no_owner_when_left_out() -> None:
    secret = secret_to_create(SPEC, desire(SPEC, make_token()), with_owner=False)
    assert "ownerReferences" not in secret["metadata"]


@pytest.mark.parametrize(
    ("creation", "deletion", "owned", "policy"),
    [
        pytest.param("Owner", "Delete", True, None, id="owned and deleted"),
        pytest.param("Owner", "Retain", False, None, id="owned and retained"),
        pytest.param("Merge", "Delete", False, "Delete", id="merged and deleted"),
        pytest.param("Merge", "Retain", False, "Retain", id="merged and retained"),
    ],
)
def test_secret_says_what_happens_on_deletion(
    creation: str, deletion: str, owned: bool, policy: str | None
) -> None:
    resource = make_resource(target={"creationPolicy": creation, "deletionPolicy": deletion})
    spec = make_spec(resource)
    desired = desire(spec, make_token())
    assert (spec.owner_reference is not None) is owned
    assert ("ownerReferences" in secret_to_create(spec, desired)["metadata"]) is owned
    assert desired.annotations.get(DELETION_POLICY) == policy
    assert essential(spec, make_token(), None).annotations.get(DELETION_POLICY) == policy


def test_desired_repr_hides_the_token() -> None:
    desired = desire(SPEC, make_token())
    assert "t0ken" not in repr(desired)
    assert encode("t0ken") not in repr(desired)


# Content


def test_content_patch_is_none_when_nothing_differs() -> None:
    assert content_patch(make_target(), desire(SPEC, make_token())) is None
    assert ownership_patch(make_target(), SPEC) is None
    assert not differs(make_target(), SPEC, make_token())
    assert not ownership_differs(make_target(), SPEC)


def test_content_patch_applies_only_to_the_secret_as_read() -> None:
    patch = content_patch(make_target(), desire(SPEC, make_token(access_token="new")))
    assert patch is not None
    assert patch["metadata"]["resourceVersion"] == "7"
    assert patch["metadata"]["uid"] == "5ec"


def test_content_patch_of_a_refresh_changes_only_the_token() -> None:
    patch = content_patch(make_target(), desire(SPEC, make_token(access_token="new")))
    assert patch is not None
    assert patch["data"] == {"access_token": encode("new")}
    assert patch["metadata"].keys() == {"resourceVersion", "uid", "annotations"}
    assert patch["metadata"]["annotations"].keys() == {CHECKSUM}


@pytest.mark.parametrize(
    ("drift", "where", "name"),
    [
        pytest.param({"data": {"token_type": None}}, "data", "token_type", id="key removed"),
        pytest.param({"data": {"expires_at": encode("x")}}, "data", "expires_at", id="key changed"),
        pytest.param(
            {"metadata": {"labels": {RESOURCE_UID: None}}},
            "labels",
            RESOURCE_UID,
            id="label removed",
        ),
        pytest.param(
            {"metadata": {"annotations": {MANAGED: "?"}}},
            "annotations",
            MANAGED,
            id="annotation changed",
        ),
        pytest.param(
            {"metadata": {"annotations": {TARGET: None}}},
            "annotations",
            TARGET,
            id="annotation removed",
        ),
    ],
)
def test_content_patch_repairs_drift_and_nothing_else(
    drift: dict[str, Any], where: str, name: str
) -> None:
    target = read_target(merge(make_secret(), drift))
    patch = content_patch(target, desire(SPEC, make_token()))
    assert patch is not None
    changes = {**patch, **patch["metadata"]}
    assert changes.keys() - {"metadata", "uid", "resourceVersion"} == {where}
    assert changes[where].keys() == {name}
    assert differs(target, SPEC, make_token())
    assert not ownership_differs(target, SPEC)


def test_content_patch_removes_a_request_not_served_by_the_token() -> None:
    target = make_target(token=make_token(request="now"))
    desired = desire(SPEC, make_token(access_token="new"))
    patch = content_patch(target, desired)
    assert patch is not None
    assert patch["metadata"]["annotations"][REFRESH_REQUEST] is None
    patch = content_patch(target, desired, prune=False)
    assert patch is not None
    assert REFRESH_REQUEST not in patch["metadata"]["annotations"]


@pytest.mark.parametrize("source", ["", "another"], ids=["none", "another"])
def test_content_patch_is_none_when_only_the_source_differs(source: str) -> None:
    """It is written with the next token: a write of its own would cost more than it saves."""
    target = make_target(token=make_token(source="5ec"))
    assert content_patch(target, desire(SPEC, make_token(source=source))) is None
    assert content_patch(make_target(), desire(SPEC, make_token(source="5ec"))) is None


@pytest.mark.parametrize(("source", "written"), [("", None), ("another", "another")])
def test_content_patch_of_a_refresh_brings_its_source(source: str, written: str | None) -> None:
    target = make_target(token=make_token(source="5ec"))
    desired = desire(SPEC, make_token(access_token="new", source=source))
    patch = content_patch(target, desired)
    assert patch is not None
    assert patch["metadata"]["annotations"].keys() == {CHECKSUM, CREDENTIALS_SOURCE}
    assert patch["metadata"]["annotations"][CREDENTIALS_SOURCE] == written


def test_content_patch_writes_all_data_when_it_is_unknown() -> None:
    kept = make_target().without_data()
    desired = desire(SPEC, make_token())
    patch = content_patch(kept, desired)
    assert patch is not None
    assert patch["data"] == desired.data
    annotations = {**kept.annotations, MANAGED: '{"data":["old"]}'}
    other = replace(kept, metadata=kept.metadata.read()._replace(annotations=annotations))
    patch = content_patch(other, desired)
    assert patch is not None
    assert patch["data"] == {**desired.data, "old": None}


# The essential part


def test_essential_has_only_token_keys_and_annotations() -> None:
    spec = make_spec(TEMPLATED)
    least, full = essential(spec, make_token(), None), desire(spec, make_token())
    assert least.data == {key: full.data[key] for key in OWN_KEYS}
    assert least.labels == {}
    managed = {"labels": [], "annotations": [], "data": sorted(OWN_KEYS)}
    assert json.loads(least.annotations[MANAGED]) == managed
    assert {**least.annotations, MANAGED: "", "note": "b"} == {**full.annotations, MANAGED: ""}
    created = read_target(stored_secret(secret_to_create(spec, least, with_owner=False)))
    assert stored_token(created, UID) == make_token()


def test_essential_removes_nothing_from_a_target() -> None:
    target = make_target(TEMPLATED)
    spec, token = make_spec(make_resource(target={"name": "token"})), make_token(access_token="new")
    least = essential(spec, token, target)
    patch = content_patch(target, least, prune=False)
    assert patch is not None
    assert None not in patch["data"].values()
    assert None not in patch["metadata"]["annotations"].values()
    assert "labels" not in patch["metadata"]
    left = read_target(merge(make_secret(TEMPLATED), patch))
    assert left.labels == target.labels
    assert left.data is not None
    assert decode(left.data)["authorization"] == "Bearer t0ken"
    assert stored_token(left, UID) == token
    assert content_patch(left, least, prune=False) is None


def test_essential_leaves_the_rest_for_a_later_write() -> None:
    target = make_target(TEMPLATED)
    spec, token = make_spec(make_resource(target={"name": "token"})), make_token(access_token="new")
    patch = content_patch(target, essential(spec, token, target), prune=False)
    left = read_target(merge(make_secret(TEMPLATED), patch))
    assert left.managed == target.managed
    assert differs(left, spec, token)
    whole = content_patch(left, desire(spec, token))
    assert whole is not None
    assert whole["data"] == {"authorization": None}
    assert whole["metadata"]["labels"] == {"team": None}
    assert whole["metadata"]["annotations"].keys() == {"note", MANAGED}


# Ownership


@pytest.mark.parametrize(
    ("references", "repaired"),
    [
        pytest.param([], [OUR_REFERENCE], id="removed"),
        pytest.param([SOMEONE], [SOMEONE, OUR_REFERENCE], id="replaced"),
        pytest.param([{**OUR_REFERENCE, "kind": "X"}], [OUR_REFERENCE], id="changed"),
        pytest.param(
            [SOMEONE, {**OUR_REFERENCE, "uid": "gone"}],
            [SOMEONE, OUR_REFERENCE],
            id="of an earlier resource",
        ),
    ],
)
def test_ownership_patch_repairs_our_reference_only(
    references: list[dict[str, Any]], repaired: list[dict[str, Any]]
) -> None:
    target = read_target(merge(make_secret(), {"metadata": {"ownerReferences": references}}))
    assert ownership_differs(target, SPEC)
    assert ownership_patch(target, SPEC) == {
        "metadata": {"resourceVersion": "7", "uid": "5ec", "ownerReferences": repaired}
    }
    assert content_patch(target, desire(SPEC, make_token())) is None


def test_ownership_patch_removes_our_references_under_retain() -> None:
    references = [SOMEONE, OUR_REFERENCE, {**OUR_REFERENCE, "uid": "gone"}]
    target = read_target(merge(make_secret(), {"metadata": {"ownerReferences": references}}))
    patch = ownership_patch(target, make_spec(RETAINING))
    assert patch is not None
    assert patch["metadata"]["ownerReferences"] == [SOMEONE]


def test_ownership_patch_keeps_fields_added_to_our_reference() -> None:
    reference = {**OUR_REFERENCE, "blockOwnerDeletion": False}
    target = read_target(merge(make_secret(), {"metadata": {"ownerReferences": [reference]}}))
    assert ownership_patch(target, SPEC) is None


@pytest.mark.parametrize(("before", "after"), [("Delete", "Retain"), ("Retain", "Delete")])
def test_ownership_patch_sets_the_policy_of_a_merged_secret(before: str, after: str) -> None:
    was, now = (
        make_resource(target={"creationPolicy": "Merge", "deletionPolicy": policy})
        for policy in (before, after)
    )
    target = make_target(was)
    assert ownership_patch(target, make_spec(was)) is None
    assert ownership_patch(target, make_spec(now)) == {
        "metadata": {
            "resourceVersion": "7",
            "uid": "5ec",
            "annotations": {DELETION_POLICY: after},
        }
    }


def test_ownership_patch_is_none_before_a_merge() -> None:
    empty = read_target(stored_secret({"metadata": {"annotations": {ALLOW_MERGE: "true"}}}))
    assert ownership_patch(empty, make_spec(MERGING)) is None


# Merging into someone else's Secret


def theirs(**metadata: dict[str, str]) -> Target:
    return read_target(
        stored_secret({"metadata": metadata, "data": {"access_token": encode("their own")}})
    )


def test_overwritten_names_what_a_merge_would_overwrite() -> None:
    target = theirs(labels={"team": "b", "x": "y"}, annotations={"note": "c", ALLOW_MERGE: "true"})
    assert overwritten(target, make_spec(MERGING)) == [
        "key access_token",
        "label team",
        "annotation note",
    ]


def test_overwritten_names_an_equal_value_too() -> None:
    # It would be ours after the merge, and removed with our own.
    assert "label team" in overwritten(theirs(labels={"team": "a"}), make_spec(MERGING))


def test_overwritten_is_empty_when_the_names_are_ours() -> None:
    target = make_target(MERGING)
    assert overwritten(target, make_spec(MERGING)) == []
    assert overwritten(target, make_spec()) == []


def test_overwritten_is_empty_in_an_empty_secret() -> None:
    assert overwritten(read_target(stored_secret({})), make_spec(MERGING)) == []


def test_removal_patch_removes_all_that_is_ours() -> None:
    written = merge(make_secret(MERGING), {"metadata": {"annotations": {ALLOW_MERGE: "true"}}})
    patch = removal_patch(read_target(written))
    assert patch["metadata"]["resourceVersion"] == "7"
    assert patch["metadata"]["uid"] == "5ec"
    left = merge(written, patch)
    assert left["data"] == {}
    assert left["metadata"]["labels"] == {}
    assert left["metadata"]["annotations"] == {ALLOW_MERGE: "true"}


def test_removal_patch_needs_no_opt_in() -> None:
    written = make_secret(MERGING)
    left = merge(written, removal_patch(read_target(written)))
    assert left["data"] == {}
    assert left["metadata"]["labels"] == {}
    assert left["metadata"]["annotations"] == {}
