import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import PREFIX
from pinecone_token_operator.targets import target as found
from pinecone_token_operator.targets.secret import owner_reference
from pinecone_token_operator.targets.target import (
    format_time,
    is_owned_by,
    read_target,
    seal,
    stored_token,
)
from tests.support.builders import (
    NOON,
    UID,
    after,
    encode,
    make_resource,
    make_secret,
    make_target,
    make_token,
    merge,
    stored_secret,
)

OURS = make_secret(make_resource())
SOMEBODY = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}


def annotated(**annotations: str | None) -> dict[str, Any]:
    """Return our Secret with other annotations; None takes one away."""
    named = {PREFIX + name.replace("_", "-"): text for name, text in annotations.items()}
    merged: dict[str, Any] = merge(OURS, {"metadata": {"annotations": named}})
    return merged


def test_the_least_secret_is_read() -> None:
    target = read_target({"metadata": {"uid": "u", "resourceVersion": "1"}})
    assert (target.uid, target.resource_version, target.type) == ("u", "1", "Opaque")
    assert not target.labels
    assert not target.annotations
    assert not target.owner_references
    assert not target.data
    assert target.immutable is False
    assert target.times is None
    assert target.managed == {}
    assert stored_token(target, UID) is None


def test_what_was_written_is_read_back() -> None:
    token = make_token()
    target = make_target(make_resource(), token)
    assert stored_token(target, UID) == token
    assert target.times is not None
    assert target.times.refreshed_at == token.refreshed_at
    assert target.times.expires_at == token.expires_at
    assert target.times.refresh_at == token.refresh_at
    assert target.times.credentials == token.credentials


def test_without_its_data_a_target_keeps_everything_else() -> None:
    target = make_target(make_resource())
    kept = target.without_data()
    assert kept == replace(target, data=None)
    assert stored_token(kept, UID) is None


def test_repr_shows_no_token() -> None:
    token, target = make_token(), make_target(make_resource())
    assert "t0ken" not in repr(token)
    assert "t0ken" not in repr(target)
    assert encode("t0ken") not in repr(target)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(annotated(expires_at=None), id="without its expiry"),
        pytest.param(annotated(refreshed_at=None), id="without when it was fetched"),
        pytest.param(annotated(refresh_at=None), id="without its plan"),
        pytest.param(annotated(credentials=None), id="without what it was fetched for"),
        pytest.param(annotated(data=None), id="without its seal"),
        pytest.param(annotated(data="é"), id="with a seal that is no ASCII"),
        pytest.param(annotated(expires_at="soon"), id="with an expiry that is no time"),
        pytest.param(annotated(expires_at="2026-11-25T13:30:00Z"), id="with a later expiry"),
        pytest.param(annotated(refreshed_at="2026-11-25T12:20:00Z"), id="with a later birth"),
        pytest.param(annotated(credentials="other"), id="with other credentials"),
        pytest.param(merge(OURS, {"data": {"access_token": None}}), id="without a token"),
        pytest.param(merge(OURS, {"data": {"access_token": ""}}), id="with an empty token"),
        pytest.param(
            merge(OURS, {"data": {"access_token": encode("0ther")}}), id="with another token"
        ),
        pytest.param(merge(OURS, {"data": {"access_token": "!"}}), id="with no base64"),
        pytest.param(merge(OURS, {"data": {"access_token": encode("é")}}), id="with no ASCII"),
    ],
)
def test_nothing_vouches_for_a_target(secret: dict[str, Any]) -> None:
    assert stored_token(read_target(secret), UID) is None


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(annotated(refresh_at="2026-11-25T12:25:00Z"), id="with another plan"),
        pytest.param(annotated(managed=None), id="without a list of what is ours"),
        pytest.param(merge(OURS, {"data": {"token_type": encode("MAC")}}), id="with another type"),
        pytest.param(merge(OURS, {"data": {"expires_at": None}}), id="without a key beside it"),
        pytest.param(merge(OURS, {"metadata": {"labels": None}}), id="without labels"),
    ],
)
def test_other_damage_leaves_the_token_and_its_life_proven(secret: dict[str, Any]) -> None:
    token = stored_token(read_target(secret), UID)
    assert token is not None
    assert replace(token, refresh_at=make_token().refresh_at) == make_token()


def test_a_token_copied_to_another_resource_proves_nothing() -> None:
    assert stored_token(read_target(OURS), "another uid") is None


texts = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
moments = st.integers(0, 5).map(after)
tokens = st.builds(
    make_token, access_token=texts, refreshed_at=moments, expires_at=moments, credentials=texts
)


@given(tokens, tokens, st.sampled_from("ab"), st.sampled_from("ab"))
def test_seals_are_equal_only_for_the_same_token_life_origin_and_resource(
    one: found.StoredToken, other: found.StoredToken, uid: str, other_uid: str
) -> None:
    assert (seal(one, uid) == seal(other, other_uid)) == ((one, uid) == (other, other_uid))


@given(
    st.sampled_from(
        [
            {"access_token": "0ther"},
            {"refreshed_at": after(seconds=1)},
            {"expires_at": after(31)},
            {"credentials": "other"},
        ]
    ),
    tokens,
)
def test_a_seal_does_not_survive_any_change(
    change: dict[str, Any], token: found.StoredToken
) -> None:
    changed = replace(token, **change)
    assert seal(changed, UID) != seal(token, UID)


def test_a_seal_is_32_hex_digits_and_stays_the_same_between_releases() -> None:
    sealed = seal(make_token(), UID)
    assert len(sealed) == 32
    assert int(sealed, 16) >= 0
    assert sealed == "807ee78e6f7e4534db9c8a49d6aa7280"


@pytest.mark.parametrize(
    ("metadata", "owned"),
    [
        pytest.param({}, False, id="a Secret without any mark is somebody else's"),
        pytest.param({"ownerReferences": [{"uid": UID}]}, True, id="an owner reference says so"),
        pytest.param(
            {"ownerReferences": [SOMEBODY, {"uid": UID}]}, True, id="one owner among others"
        ),
        pytest.param(
            {"ownerReferences": [SOMEBODY], "labels": {found.RESOURCE_UID: UID}},
            False,
            id="another owner outweighs the label",
        ),
        pytest.param(
            {"ownerReferences": [SOMEBODY], "annotations": {found.RESOURCE: "search"}},
            False,
            id="another owner outweighs the annotation",
        ),
        pytest.param({"labels": {found.RESOURCE_UID: UID}}, True, id="the label says so"),
        pytest.param({"labels": {found.RESOURCE_UID: "old"}}, False, id="another's label"),
        pytest.param(
            {"labels": {found.RESOURCE_UID: "old"}, "annotations": {found.RESOURCE: "search"}},
            True,
            id="what one of the same name left behind is taken over",
        ),
        pytest.param(
            {"annotations": {found.RESOURCE: "shop"}}, False, id="another name's is not taken over"
        ),
        pytest.param(
            {"ownerReferences": [{**owner_reference(make_resource()), "uid": "gone"}]},
            True,
            id="a predecessor of the same name left it behind",
        ),
        pytest.param(
            {"ownerReferences": [{**owner_reference(make_resource()), "uid": "gone"}, SOMEBODY]},
            False,
            id="a predecessor shared it with somebody",
        ),
        pytest.param(
            {"ownerReferences": [{**owner_reference(make_resource()), "name": "a", "uid": "b"}]},
            False,
            id="a resource of another name owns it",
        ),
    ],
)
def test_whose_a_secret_is(metadata: dict[str, Any], owned: bool) -> None:
    target = read_target(stored_secret({"metadata": metadata}))
    assert is_owned_by(target, make_resource()) is owned


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        pytest.param("true", True, id="true allows it"),
        pytest.param("True", False, id="the word is exact"),
        pytest.param("", False, id="an empty annotation does not"),
        pytest.param(None, False, id="no annotation does not"),
    ],
)
def test_opting_in_to_a_merge(text: str | None, allowed: bool) -> None:
    annotations = {} if text is None else {found.ALLOW_MERGE: text}
    target = read_target(stored_secret({"metadata": {"annotations": annotations}}))
    assert target.allows_merge is allowed


@pytest.mark.parametrize(
    ("text", "managed"),
    [
        pytest.param('{"data":["a"],"labels":[]}', {"data": ["a"], "labels": []}, id="names"),
        pytest.param("{}", {}, id="nothing"),
        pytest.param("", {}, id="no JSON at all"),
        pytest.param('["data"]', {}, id="a list"),
        pytest.param("[1]", {}, id="a list that is also an index"),
        pytest.param("[" * 100_000, {}, id="a list too deep to read"),
        pytest.param("null", {}, id="null"),
        pytest.param('{"data":null}', {}, id="null for names"),
        pytest.param('{"data":7}', {}, id="a number for names"),
    ],
)
def test_reading_what_is_ours_survives_damage(text: str, managed: dict[str, list[str]]) -> None:
    assert read_target(annotated(managed=text)).managed == managed


damage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                found.EXPIRES_AT,
                found.REFRESH_AT,
                found.REFRESHED_AT,
                found.CREDENTIALS,
                found.SEAL,
            ]
        ),
        st.text() | moments.map(format_time),
    ),
    st.text() | damage.map(json.dumps),
    st.text(),
)
def test_no_damage_raises_and_none_is_believed(
    annotations: dict[str, str], managed: str, data: str
) -> None:
    told = {**annotations, found.MANAGED: managed}
    damaged = merge(OURS, {"metadata": {"annotations": told}, "data": {"access_token": data}})
    target = read_target(damaged)
    assert all(isinstance(name, str) for names in target.managed.values() for name in names)
    assert target.times is None or target.times.expires_at.tzinfo is not None
    assert stored_token(target, UID) is None


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - a zone is added below
    st.integers(-14, 14),
)
def test_times_are_written_in_utc_and_whole_seconds(moment: datetime, hours: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    written = format_time(aware)
    assert datetime.fromisoformat(written) == aware.replace(microsecond=0)
    assert written.endswith("Z")
    assert len(written) == len("2026-11-25T12:00:00Z")


def test_noon() -> None:
    assert format_time(NOON) == "2026-11-25T12:00:00Z"
