"""Secrets that version 0.1.0 wrote are read, need no write of their own, and are converted."""

from dataclasses import replace
from typing import Any

import pytest

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.policies.ownership import is_owned_by
from pinecone_token_operator.targets.secret import (
    content_patch,
    desire,
    differs,
    ownership_patch,
    removal_patch,
)
from pinecone_token_operator.targets.target import read_target, stored_token
from tests.support.builders import UID, after, make_resource, make_spec, make_token
from tests.support.documented import (
    CHECKSUM,
    MANAGED,
    PREFIX,
    REFRESH_AT,
    REFRESH_REQUEST,
    RESOURCE_UID,
    TARGET,
)
from tests.support.merge_patch import merge

LEGACY_CHECKSUM = f"{PREFIX}data"
TEMPLATE = {
    "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
    "data": {"authorization": "Bearer ${access_token}"},
}
OWNING = make_resource()
MERGING = make_resource(target={"creationPolicy": "Merge", "template": TEMPLATE})

# As version 0.1.0 wrote them, word for word.
OWNED: dict[str, Any] = {
    "type": "Opaque",
    "metadata": {
        "namespace": "shop",
        "name": "search",
        "uid": "5ec",
        "resourceVersion": "7",
        "labels": {"pinecone.token-operator.dev/resource-uid": "0b1f"},
        "annotations": {
            "pinecone.token-operator.dev/resource": "search",
            "pinecone.token-operator.dev/expires-at": "2026-11-25T12:30:00Z",
            "pinecone.token-operator.dev/refresh-at": "2026-11-25T12:19:00Z",
            "pinecone.token-operator.dev/refreshed-at": "2026-11-25T12:00:00Z",
            "pinecone.token-operator.dev/credentials": "c0ffee",
            "pinecone.token-operator.dev/data": "807ee78e6f7e4534db9c8a49d6aa7280",
            "pinecone.token-operator.dev/managed": (
                '{"data":["access_token","expires_at","token_type"],"labels":[],"annotations":[]}'
            ),
        },
        "ownerReferences": [
            {
                "apiVersion": "pinecone.token-operator.dev/v1alpha1",
                "kind": "PineconeAccessToken",
                "name": "search",
                "uid": "0b1f",
                "controller": True,
            }
        ],
    },
    "data": {
        "access_token": "dDBrZW4=",
        "token_type": "QmVhcmVy",
        "expires_at": "MjAyNi0xMS0yNVQxMjozMDowMFo=",
    },
}
MERGED: dict[str, Any] = merge(
    OWNED,
    {
        "metadata": {
            "labels": {"team": "a"},
            "annotations": {
                "note": "b",
                "pinecone.token-operator.dev/managed": (
                    '{"data":["access_token","authorization","expires_at","token_type"],'
                    '"labels":["team"],"annotations":["note"]}'
                ),
                "pinecone.token-operator.dev/deletion-policy": "Delete",
            },
            "ownerReferences": None,
        },
        "data": {"authorization": "QmVhcmVyIHQwa2Vu"},
    },
)
both = pytest.mark.parametrize(
    ("secret", "resource"),
    [pytest.param(OWNED, OWNING, id="owned"), pytest.param(MERGED, MERGING, id="merged")],
)


@both
def test_legacy_secret_is_read_and_its_request_is_unknown(
    secret: dict[str, Any], resource: PineconeAccessToken
) -> None:
    target = read_target(secret)
    assert target.is_legacy
    assert not target.is_copy
    assert target.owner_uid == UID
    assert is_owned_by(target, make_spec(resource).owner) is not target.is_merged
    assert target.times == make_token(request=None).times
    assert stored_token(target, UID) == make_token(request=None)


def test_legacy_secret_with_another_checksum_is_not_believed() -> None:
    for text in ("0" * 32, ""):
        secret = merge(OWNED, {"metadata": {"annotations": {LEGACY_CHECKSUM: text}}})
        assert stored_token(read_target(secret), UID) is None


def test_legacy_checksum_does_not_count_beside_the_new_one() -> None:
    secret = merge(OWNED, {"metadata": {"annotations": {CHECKSUM: "0" * 32}}})
    assert not read_target(secret).is_legacy
    assert stored_token(read_target(secret), UID) is None


@both
def test_legacy_secret_needs_no_write(
    secret: dict[str, Any], resource: PineconeAccessToken
) -> None:
    target, spec = read_target(secret), make_spec(resource)
    token = stored_token(target, UID)
    assert token is not None
    assert content_patch(target, desire(spec, token)) is None
    assert content_patch(target, desire(spec, replace(token, request="now"))) is None
    assert not differs(target, spec, token)
    assert ownership_patch(target, spec) is None


@both
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"access_token": "new"}, id="new token"),
        pytest.param({"refresh_at": after(18)}, id="new refresh time"),
        pytest.param({"access_token": "new", "request": "now"}, id="requested token"),
    ],
)
def test_legacy_secret_is_converted_by_the_next_write(
    secret: dict[str, Any], resource: PineconeAccessToken, changes: dict[str, Any]
) -> None:
    spec, token = make_spec(resource), make_token(**changes)
    desired = desire(spec, token)
    patch = content_patch(read_target(secret), desired)
    assert patch is not None
    converted = read_target(merge(secret, patch))
    assert not converted.is_legacy
    assert LEGACY_CHECKSUM not in converted.annotations
    assert converted.annotations == {**desired.defaults, **desired.annotations}
    assert stored_token(converted, UID) == token
    assert content_patch(converted, desired) is None


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param({"data": {"token_type": None}}, id="key removed"),
        pytest.param({"metadata": {"labels": {RESOURCE_UID: None}}}, id="label removed"),
        pytest.param({"metadata": {"annotations": {MANAGED: "?"}}}, id="list changed"),
        pytest.param({"metadata": {"annotations": {REFRESH_AT: "?"}}}, id="time changed"),
        pytest.param({"metadata": {"annotations": {LEGACY_CHECKSUM: "?"}}}, id="checksum changed"),
    ],
)
def test_legacy_secret_is_converted_by_a_repair(drift: dict[str, Any]) -> None:
    secret = merge(OWNED, drift)
    patch = content_patch(read_target(secret), desire(make_spec(), make_token()))
    assert patch is not None
    converted = read_target(merge(secret, patch))
    assert stored_token(converted, UID) == make_token()
    assert {CHECKSUM, TARGET, RESOURCE_UID} <= converted.annotations.keys()
    assert LEGACY_CHECKSUM not in converted.annotations
    assert REFRESH_REQUEST not in converted.annotations


def test_legacy_secret_is_left_without_any_trace_of_ours() -> None:
    left = merge(MERGED, removal_patch(read_target(MERGED)))
    assert left["data"] == {}
    assert left["metadata"]["labels"] == {}
    assert left["metadata"]["annotations"] == {}
