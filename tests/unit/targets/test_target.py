import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.policies.ownership import is_owned_by
from pinecone_token_operator.targets.secret import reference_to
from pinecone_token_operator.targets.stored_token import checksum, format_time
from pinecone_token_operator.targets.target import (
    FIELD_MANAGER,
    Owner,
    read_target,
    stored_token,
)
from tests.support.builders import (
    UID,
    after,
    encode,
    make_resource,
    make_secret,
    make_target,
    make_token,
    stored_secret,
)
from tests.support.documented import (
    ALLOW_MERGE,
    CHECKSUM,
    CREDENTIALS,
    DELETION_POLICY,
    EXPIRES_AT,
    KIND,
    MANAGED,
    PREFIX,
    REFRESH_AT,
    REFRESHED_AT,
    RESOURCE,
    RESOURCE_UID,
    TARGET,
)
from tests.support.merge_patch import merge

OURS = make_secret()
OWNER = Owner(KIND, "search", UID)
SOMEONE = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}
EARLIER = {**reference_to(OWNER), "uid": "gone"}


def annotated(**annotations: str | None) -> dict[str, Any]:
    """Return our Secret with other annotations; None takes one away."""
    named = {PREFIX + name.replace("_", "-"): text for name, text in annotations.items()}
    merged: dict[str, Any] = merge(OURS, {"metadata": {"annotations": named}})
    return merged


# Reading


def test_target_is_read_from_the_least_secret() -> None:
    metadata = {"namespace": "shop", "name": "a", "uid": "u", "resourceVersion": "1"}
    target = read_target({"metadata": metadata})
    assert target.key == ("shop", "a")
    assert (target.uid, target.resource_version, target.type) == ("u", "1", "Opaque")
    assert not target.labels
    assert not target.annotations
    assert not target.owner_references
    assert not target.data
    assert target.immutable is False
    assert target.times is None
    assert target.access_token is None
    assert target.managed == {}
    assert target.owner_uid is None
    assert target.writer == ""
    assert not target.is_copy
    assert not target.is_merged
    assert not target.is_legacy
    assert stored_token(target, UID) is None


def test_target_repr_hides_the_token() -> None:
    target = make_target()
    assert "t0ken" not in repr(target)
    assert encode("t0ken") not in repr(target)


def test_target_without_data_keeps_everything_else() -> None:
    target = replace(make_target(), writer="kubectl")
    kept = target.without_data()
    assert replace(kept, metadata=kept.metadata.read()) == replace(target, data=None)
    assert kept.access_token is None
    assert stored_token(kept, UID) is None


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        pytest.param("true", True, id="true"),
        pytest.param("True", False, id="other case"),
        pytest.param("", False, id="empty"),
        pytest.param(None, False, id="none"),
    ],
)
def test_target_allows_merge_only_when_opted_in(text: str | None, allowed: bool) -> None:
    annotations = {} if text is None else {ALLOW_MERGE: text}
    target = read_target(stored_secret({"metadata": {"annotations": annotations}}))
    assert target.allows_merge is allowed


@pytest.mark.parametrize(
    ("text", "managed"),
    [
        pytest.param('{"data":["a"],"labels":[]}', {"data": ["a"], "labels": []}, id="names"),
        pytest.param("{}", {}, id="nothing"),
        pytest.param("", {}, id="no JSON"),
        pytest.param('["data"]', {}, id="list"),
        pytest.param("[1]", {}, id="list of numbers"),
        pytest.param("[" * 100_000, {}, id="list too deep to read"),
        pytest.param("null", {}, id="null"),
        pytest.param('{"data":null}', {}, id="null for names"),
        pytest.param('{"data":7}', {}, id="number for names"),
        pytest.param('{"data":"ab"}', {}, id="text for names"),
    ],
)
def test_target_managed_is_empty_when_damaged(text: str, managed: dict[str, list[str]]) -> None:
    assert read_target(annotated(managed=text)).managed == managed


def entry(manager: str, time: str | None) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update"} | ({"time": time} if time else {})


@pytest.mark.parametrize(
    ("entries", "writer"),
    [
        pytest.param([], "", id="no entries"),
        pytest.param([entry("kubectl", None)], "", id="no times"),
        pytest.param(
            [entry("kubectl", "2026-11-25T12:00:01Z"), entry("argocd", "2026-11-25T12:00:00Z")],
            "kubectl",
            id="latest first",
        ),
        pytest.param(
            [
                entry("kubectl", "2026-11-25T12:00:01Z"),
                entry(FIELD_MANAGER, "2026-11-25T12:00:02Z"),
            ],
            FIELD_MANAGER,
            id="we came last",
        ),
        pytest.param(
            [entry(FIELD_MANAGER, "2026-11-25T12:00:01Z"), entry("argocd", "2026-11-25T12:00:01Z")],
            "argocd",
            id="another in the same second",
        ),
        pytest.param(
            [entry("argocd", "2026-11-25T12:00:01Z"), entry(FIELD_MANAGER, "2026-11-25T12:00:01Z")],
            "argocd",
            id="another in the same second listed first",
        ),
    ],
)
def test_target_writer_is_the_last_field_manager(
    entries: list[dict[str, Any]], writer: str
) -> None:
    secret = merge(OURS, {"metadata": {"managedFields": entries}})
    assert read_target(secret).writer == writer


@pytest.mark.parametrize(
    ("drift", "writer"),
    [
        pytest.param({}, FIELD_MANAGER, id="nothing"),
        pytest.param({"data": {"access_token": encode("other")}}, FIELD_MANAGER, id="other token"),
        pytest.param({"data": {"access_token": None}}, "", id="token"),
        pytest.param({"data": {"expires_at": None}}, "", id="key"),
        pytest.param({"metadata": {"labels": None}}, "", id="labels"),
        pytest.param({"metadata": {"annotations": {REFRESH_AT: None}}}, "", id="annotation"),
        pytest.param({"metadata": {"annotations": None}}, "", id="annotations"),
    ],
)
def test_target_writer_is_unknown_when_ours_was_removed(drift: dict[str, Any], writer: str) -> None:
    entries = [{"manager": FIELD_MANAGER, "time": "2026-11-25T12:00:00Z"}]
    secret = merge(merge(OURS, {"metadata": {"managedFields": entries}}), drift)
    assert read_target(secret).writer == writer


# Copies


def test_target_is_a_copy_when_its_annotation_names_another() -> None:
    for key in ({"name": "copy"}, {"namespace": "mart"}):
        copied = read_target(merge(OURS, {"metadata": key}))
        assert copied.is_copy
        assert copied.owner_uid is None
        assert not is_owned_by(copied, OWNER)


def test_target_is_not_a_copy_when_its_annotation_names_it() -> None:
    target = make_target()
    assert target.annotations[TARGET] == "shop/search"
    assert not target.is_copy
    assert target.owner_uid == UID
    assert is_owned_by(target, OWNER)


@pytest.mark.parametrize(
    ("metadata", "uid"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"labels": {RESOURCE_UID: "a"}}, "a", id="label"),
        pytest.param({"annotations": {RESOURCE_UID: "b"}}, "b", id="annotation"),
        pytest.param(
            {"labels": {RESOURCE_UID: "a"}, "annotations": {RESOURCE_UID: "b"}},
            "b",
            id="annotation before label",
        ),
        pytest.param(
            {
                "annotations": {RESOURCE_UID: "b"},
                "ownerReferences": [SOMEONE, {**reference_to(OWNER), "uid": "c"}],
            },
            "c",
            id="owner reference before annotation",
        ),
        pytest.param(
            {"annotations": {RESOURCE_UID: "b"}, "ownerReferences": [SOMEONE]},
            "b",
            id="owner reference of another group",
        ),
    ],
)
def test_target_owner_uid_is_the_surest_one(metadata: dict[str, Any], uid: str | None) -> None:
    assert read_target(stored_secret({"metadata": metadata})).owner_uid == uid


# Ownership


@pytest.mark.parametrize(
    ("metadata", "owned"),
    [
        pytest.param({}, False, id="no mark"),
        pytest.param({"ownerReferences": [{"uid": UID}]}, True, id="our owner reference"),
        pytest.param(
            {"ownerReferences": [SOMEONE, {"uid": UID}]}, True, id="our owner reference of two"
        ),
        pytest.param(
            {"ownerReferences": [SOMEONE], "labels": {RESOURCE_UID: UID}},
            False,
            id="another owner and our label",
        ),
        pytest.param(
            {"ownerReferences": [SOMEONE], "annotations": {RESOURCE: "search"}},
            False,
            id="another owner and our annotation",
        ),
        pytest.param({"labels": {RESOURCE_UID: UID}}, True, id="our label"),
        pytest.param({"annotations": {RESOURCE_UID: UID}}, True, id="our UID as an annotation"),
        pytest.param({"labels": {RESOURCE_UID: "old"}}, False, id="another label"),
        pytest.param({"annotations": {RESOURCE_UID: "old"}}, False, id="another UID"),
        pytest.param(
            {"labels": {RESOURCE_UID: "old"}, "annotations": {RESOURCE: "search"}},
            True,
            id="left behind by an earlier one of the same name",
        ),
        pytest.param({"annotations": {RESOURCE: "shop"}}, False, id="another name"),
        pytest.param({"ownerReferences": [EARLIER]}, True, id="owner reference of an earlier one"),
        pytest.param(
            {"ownerReferences": [EARLIER, SOMEONE]}, False, id="an earlier one and another owner"
        ),
        pytest.param(
            {"ownerReferences": [{**EARLIER, "name": "a"}]}, False, id="owner of another name"
        ),
        pytest.param(
            {"ownerReferences": [{**EARLIER, "kind": "Other"}]}, False, id="owner of another kind"
        ),
        pytest.param(
            {"ownerReferences": [{**EARLIER, "apiVersion": "v1"}]},
            False,
            id="owner of another group",
        ),
        pytest.param(
            {"labels": {RESOURCE_UID: UID}, "annotations": {DELETION_POLICY: "Delete"}},
            False,
            id="only merged into",
        ),
    ],
)
def test_target_is_owned_by_its_resource_only(metadata: dict[str, Any], owned: bool) -> None:
    target = read_target(stored_secret({"metadata": metadata}))
    assert is_owned_by(target, OWNER) is owned


def test_owner_reference_has_what_the_garbage_collector_needs() -> None:
    assert reference_to(OWNER) == {
        "apiVersion": "pinecone.token-operator.dev/v1alpha1",
        "kind": "PineconeAccessToken",
        "name": "search",
        "uid": UID,
        "controller": True,
    }


# The stored token


def test_stored_token_is_read_as_it_was_written() -> None:
    for token in (make_token(), make_token(request="now"), make_token(source="5ec")):
        target = make_target(make_resource(), token)
        assert stored_token(target, UID) == token
        assert target.times == token.times
        assert target.access_token == token.access_token


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(annotated(expires_at=None), id="no expiry"),
        pytest.param(annotated(refreshed_at=None), id="no issue time"),
        pytest.param(annotated(refresh_at=None), id="no refresh time"),
        pytest.param(annotated(credentials=None), id="no credentials"),
        pytest.param(annotated(checksum=None), id="no checksum"),
        pytest.param(annotated(checksum="é"), id="checksum that is not ASCII"),
        pytest.param(annotated(checksum=""), id="empty checksum"),
        pytest.param(annotated(expires_at="soon"), id="expiry that is not a time"),
        pytest.param(annotated(expires_at="2026-11-25T13:30:00Z"), id="later expiry"),
        pytest.param(annotated(refreshed_at="2026-11-25T12:20:00Z"), id="later issue time"),
        pytest.param(annotated(credentials="other"), id="other credentials"),
        pytest.param(merge(OURS, {"data": {"access_token": None}}), id="no token"),
        pytest.param(merge(OURS, {"data": {"access_token": ""}}), id="empty token"),
        pytest.param(merge(OURS, {"data": {"access_token": encode("0ther")}}), id="another token"),
        pytest.param(merge(OURS, {"data": {"access_token": "!"}}), id="no base64"),
        pytest.param(merge(OURS, {"data": {"access_token": encode("é")}}), id="not ASCII"),
    ],
)
def test_stored_token_is_none_when_the_checksum_differs(secret: dict[str, Any]) -> None:
    assert stored_token(read_target(secret), UID) is None


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(annotated(refresh_at="2026-11-25T12:25:00Z"), id="another refresh time"),
        pytest.param(annotated(managed=None), id="no list of managed names"),
        pytest.param(merge(OURS, {"data": {"token_type": encode("MAC")}}), id="another type"),
        pytest.param(merge(OURS, {"data": {"expires_at": None}}), id="a key less"),
        pytest.param(merge(OURS, {"metadata": {"labels": None}}), id="no labels"),
    ],
)
def test_stored_token_survives_drift_beside_it(secret: dict[str, Any]) -> None:
    token = stored_token(read_target(secret), UID)
    assert token is not None
    assert replace(token, refresh_at=make_token().refresh_at) == make_token()


def test_stored_token_of_another_resource_is_not_believed() -> None:
    assert stored_token(read_target(OURS), "another uid") is None


@pytest.mark.parametrize(
    ("refreshed_at", "expires_at", "believed"),
    [
        pytest.param("2026-11-25T12:00:00Z", "2026-11-26T12:00:00Z", True, id="24 hours"),
        pytest.param("2026-11-25T12:00:00Z", "2026-11-26T12:00:01Z", False, id="a second more"),
        pytest.param("2026-11-25T12:00:00Z", "2026-11-25T12:00:01Z", True, id="a second"),
        pytest.param("2026-11-25T12:00:00Z", "2026-11-25T12:00:00Z", False, id="nothing"),
        pytest.param("2026-11-25T12:00:00Z", "2026-11-25T11:59:59Z", False, id="negative"),
        pytest.param("2026-11-25T12:00:00Z", "9999-12-31T23:59:59Z", False, id="for ever"),
        pytest.param("9999-12-31T23:00:00Z", "9999-12-31T23:59:59Z", True, id="end of time"),
    ],
)
def test_stored_token_is_none_when_its_lifetime_is_implausible(
    refreshed_at: str, expires_at: str, believed: bool
) -> None:
    times = read_target(annotated(refreshed_at=refreshed_at, expires_at=expires_at)).times
    assert times is not None
    token = make_token(refreshed_at=times.refreshed_at, expires_at=times.expires_at)
    target = make_target(make_resource(), token)
    # Anyone who may write the Secret can write a matching checksum.
    assert target.annotations[CHECKSUM] == checksum(token, UID)
    assert stored_token(target, UID) == (token if believed else None)


damage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from([EXPIRES_AT, REFRESH_AT, REFRESHED_AT, CREDENTIALS, CHECKSUM]),
        st.text() | st.integers(0, 5).map(after).map(format_time),
    ),
    st.text() | damage.map(json.dumps),
    st.text(),
)
def test_stored_token_is_none_and_never_raises_when_damaged(
    annotations: dict[str, str], managed: str, data: str
) -> None:
    changed = {**annotations, MANAGED: managed}
    secret = merge(OURS, {"metadata": {"annotations": changed}, "data": {"access_token": data}})
    target = read_target(secret)
    assert all(isinstance(name, str) for names in target.managed.values() for name in names)
    assert target.times is None or target.times.expires_at.tzinfo is not None
    assert stored_token(target, UID) is None
