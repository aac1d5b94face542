import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pinecone_token_operator.api.access_token import PineconeAccessToken, Template
from pinecone_token_operator.targets import target as found
from pinecone_token_operator.targets.secret import (
    desire,
    owner_reference,
    removal_patch,
    secret_patch,
    secret_to_create,
)
from pinecone_token_operator.targets.target import Target, read_target, stored_token
from tests.support.builders import (
    UID,
    after,
    decode,
    encode,
    make_resource,
    make_secret,
    make_token,
    merge,
    stored_secret,
)

SOMEBODY = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}
OWN_KEYS = {"access_token", "token_type", "expires_at"}


def patched(secret: dict[str, Any], resource: PineconeAccessToken, token: object) -> dict[str, Any]:
    """Return the Secret after the operator has written the token into it."""
    assert isinstance(token, found.StoredToken)
    patch = secret_patch(read_target(secret), desire(resource, token), resource.metadata.uid)
    result: dict[str, Any] = merge(secret, patch or {})
    return result


def test_a_new_secret_holds_the_token_and_says_everything_about_it() -> None:
    resource, token = make_resource(), make_token()
    secret = secret_to_create(resource, desire(resource, token))
    metadata = secret["metadata"]
    assert (secret["apiVersion"], secret["kind"], secret["type"]) == ("v1", "Secret", "Opaque")
    assert (metadata["namespace"], metadata["name"]) == ("shop", "search")
    assert decode(secret["data"]) == {
        "access_token": "t0ken",
        "token_type": "Bearer",
        "expires_at": "2026-11-25T12:30:00Z",
    }
    assert metadata["labels"] == {found.RESOURCE_UID: UID}
    assert metadata["ownerReferences"] == [owner_reference(resource)]
    assert metadata["annotations"][found.EXPIRES_AT] == "2026-11-25T12:30:00Z"
    assert metadata["annotations"][found.REFRESH_AT] == "2026-11-25T12:19:00Z"
    assert metadata["annotations"][found.REFRESHED_AT] == "2026-11-25T12:00:00Z"
    assert metadata["annotations"][found.CREDENTIALS] == "c0ffee"
    assert found.DELETION_POLICY not in metadata["annotations"]
    assert "t0ken" not in json.dumps(metadata)


def test_a_template_adds_to_a_new_secret() -> None:
    template = {
        "type": "example.com/token",
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        "data": {
            "authorization": "$$ ${token_type} ${access_token}",
            "until": "${expires_at} or ${expires_at_unix}",
            "plain": "ü",
        },
    }
    resource = make_resource(target={"name": "token", "template": template})
    secret = secret_to_create(resource, desire(resource, make_token()))
    data = decode(secret["data"])
    assert secret["metadata"]["name"] == "token"
    assert secret["type"] == "example.com/token"
    assert secret["metadata"]["labels"]["team"] == "a"
    assert secret["metadata"]["annotations"]["note"] == "b"
    assert data["authorization"] == "$ Bearer t0ken"
    assert data["until"] == f"2026-11-25T12:30:00Z or {int(after(30).timestamp())}"
    assert data["plain"] == "ü"
    assert data.keys() == OWN_KEYS | {"authorization", "until", "plain"}


@pytest.mark.parametrize(
    ("creation", "deletion", "owned", "policy"),
    [
        pytest.param("Owner", "Delete", True, None, id="ours goes with its resource"),
        pytest.param("Owner", "Retain", False, None, id="ours stays if that is asked for"),
        pytest.param("Merge", "Delete", False, "Delete", id="a merged one is never owned"),
        pytest.param("Merge", "Retain", False, "Retain", id="a merged one says what to do"),
    ],
)
def test_what_happens_on_deletion(
    creation: str,
    deletion: str,
    owned: bool,
    policy: str | None,
) -> None:
    resource = make_resource(target={"creationPolicy": creation, "deletionPolicy": deletion})
    desired = desire(resource, make_token())
    assert (desired.owner is not None) is owned
    assert desired.annotations.get(found.DELETION_POLICY) == policy


def test_owner_reference_is_what_the_garbage_collector_needs() -> None:
    assert owner_reference(make_resource()) == {
        "apiVersion": "pinecone.token-operator.dev/v1alpha1",
        "kind": "PineconeAccessToken",
        "name": "search",
        "uid": UID,
        "controller": True,
    }


def test_repr_shows_no_token() -> None:
    desired = desire(make_resource(), make_token())
    assert "t0ken" not in repr(desired)
    assert encode("t0ken") not in repr(desired)


def test_what_was_just_made_needs_no_patch() -> None:
    resource = make_resource()
    target = read_target(make_secret(resource))
    assert secret_patch(target, desire(resource, make_token()), UID) is None


def test_a_patch_is_of_the_very_secret_that_was_read() -> None:
    resource = make_resource()
    target = read_target(make_secret(resource))
    patch = secret_patch(target, desire(resource, make_token(access_token="new")), UID)
    assert patch is not None
    assert patch["metadata"]["resourceVersion"] == "7"
    assert patch["metadata"]["uid"] == "5ec"


def test_a_refresh_changes_nothing_but_the_token_and_its_life() -> None:
    resource = make_resource()
    target = read_target(make_secret(resource))
    patch = secret_patch(target, desire(resource, make_token(access_token="new")), UID)
    assert patch is not None
    assert patch["data"] == {"access_token": encode("new")}
    assert patch["metadata"].keys() == {"resourceVersion", "uid", "annotations"}
    assert patch["metadata"]["annotations"].keys() == {found.SEAL}


@pytest.mark.parametrize(
    ("damage", "where", "name"),
    [
        pytest.param({"data": {"token_type": None}}, "data", "token_type", id="a key gone"),
        pytest.param(
            {"data": {"expires_at": encode("x")}}, "data", "expires_at", id="a key changed"
        ),
        pytest.param(
            {"metadata": {"labels": {found.RESOURCE_UID: None}}},
            "labels",
            found.RESOURCE_UID,
            id="a label gone",
        ),
        pytest.param(
            {"metadata": {"annotations": {found.MANAGED: "?"}}},
            "annotations",
            found.MANAGED,
            id="an annotation changed",
        ),
        pytest.param(
            {"metadata": {"ownerReferences": [SOMEBODY]}},
            "ownerReferences",
            None,
            id="an owner reference gone",
        ),
        pytest.param(
            {"metadata": {"ownerReferences": [{**owner_reference(make_resource()), "kind": "X"}]}},
            "ownerReferences",
            None,
            id="an owner reference changed",
        ),
    ],
)
def test_damage_is_repaired_and_nothing_else_touched(
    damage: dict[str, Any], where: str, name: str | None
) -> None:
    resource, token = make_resource(), make_token()
    secret = merge(make_secret(resource), damage)
    patch = secret_patch(read_target(secret), desire(resource, token), UID)
    assert patch is not None
    changes = {**patch, **patch["metadata"]}
    assert changes.keys() - {"metadata", "uid", "resourceVersion"} == {where}
    assert name is None or changes[where].keys() == {name}
    owners = merge(secret, patch)["metadata"]["ownerReferences"]
    assert owner_reference(resource) in owners
    assert [one["uid"] for one in owners].count(UID) == 1
    assert (SOMEBODY in owners) == (SOMEBODY in secret["metadata"]["ownerReferences"])


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_a_predecessor_of_the_same_name_owns_it_no_longer(policy: str) -> None:
    resource = make_resource(target={"deletionPolicy": policy})
    gone = {**owner_reference(resource), "uid": "an-earlier-one"}
    secret = merge(make_secret(resource), {"metadata": {"ownerReferences": [SOMEBODY, gone]}})
    patch = secret_patch(read_target(secret), desire(resource, make_token()), UID)
    assert patch is not None
    ours = [owner_reference(resource)] if policy == "Delete" else []
    assert patch["metadata"]["ownerReferences"] == [SOMEBODY, *ours]


def test_fields_that_others_add_to_our_owner_reference_stay() -> None:
    resource = make_resource()
    reference = {**owner_reference(resource), "blockOwnerDeletion": False}
    secret = merge(make_secret(resource), {"metadata": {"ownerReferences": [reference]}})
    assert secret_patch(read_target(secret), desire(resource, make_token()), UID) is None


def test_retain_takes_our_owner_reference_away_and_leaves_others() -> None:
    secret = merge(
        make_secret(make_resource()),
        {"metadata": {"ownerReferences": [SOMEBODY, owner_reference(make_resource())]}},
    )
    kept = patched(secret, make_resource(target={"deletionPolicy": "Retain"}), make_token())
    assert kept["metadata"]["ownerReferences"] == [SOMEBODY]


# Few names, so that what is foreign, what was ours and what is to be ours meet.
names = st.sampled_from(["a", "b", "c", "d"])
texts = st.sampled_from(["", "1", "2"])
pairs = st.dictionaries(names, texts)
templates = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries({"labels": pairs, "annotations": pairs}),
        "data": st.dictionaries(names, st.sampled_from(["", "1", "${access_token}"])),
    }
)
resources = st.builds(
    lambda creation, deletion, template: make_resource(
        target={"creationPolicy": creation, "deletionPolicy": deletion, "template": template}
    ),
    st.sampled_from(["Owner", "Merge"]),
    st.sampled_from(["Delete", "Retain"]),
    templates,
)
tokens = st.builds(
    make_token,
    access_token=st.sampled_from(["t0ken", "new"]),
    refresh_at=st.sampled_from([after(18), after(19)]),
    credentials=st.sampled_from(["c0ffee", "other"]),
)
foreign = st.builds(
    lambda data, labels, annotations, owners: stored_secret(
        {
            "data": {key: encode(text) for key, text in data.items()},
            "metadata": {
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": owners,
            },
        }
    ),
    pairs,
    pairs,
    pairs | st.just({found.ALLOW_MERGE: "true"}),
    st.sampled_from([[], [SOMEBODY]]),
)
ours = st.text("acdeknopty_", max_size=12)
damage = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(
            names | st.sampled_from(sorted(OWN_KEYS)), st.none() | texts.map(encode)
        ),
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(names | st.just(found.RESOURCE_UID), st.none() | texts),
                "annotations": st.dictionaries(
                    names
                    | st.sampled_from(
                        [found.MANAGED, found.SEAL, found.RESOURCE, found.EXPIRES_AT]
                    ),
                    st.none() | texts | ours,
                ),
                "ownerReferences": st.sampled_from(
                    [None, [], [SOMEBODY], [{"uid": UID, "controller": False}]]
                ),
            },
        ),
    },
)


@given(foreign, resources, tokens, damage, resources, tokens)
def test_one_patch_is_enough(
    secret: dict[str, Any],
    before: PineconeAccessToken,
    first: found.StoredToken,
    damage: dict[str, Any],
    after_: PineconeAccessToken,
    second: found.StoredToken,
) -> None:
    """Whatever a target has gone through, one patch makes it right, and the next is none."""
    damaged = merge(patched(secret, before, first), damage)
    repaired = read_target(patched(damaged, after_, second))
    desired = desire(after_, second)
    assert secret_patch(repaired, desired, UID) is None
    assert repaired.data is not None
    assert desired.data.items() <= repaired.data.items()
    assert desired.labels.items() <= repaired.labels.items()
    assert desired.annotations.items() <= repaired.annotations.items()
    owners = [one for one in repaired.owner_references if one.get("uid") == UID]
    assert owners == ([desired.owner] if desired.owner else [])
    assert stored_token(repaired, UID) == second


def parts(target: Target) -> dict[str, dict[str, str]]:
    return {
        "data": dict(target.data or {}),
        "labels": dict(target.labels),
        "annotations": dict(target.annotations),
    }


def own_names(resource: PineconeAccessToken) -> dict[str, set[str]]:
    """Return the names that a resource asks for, as it says itself."""
    template = resource.spec.target.template
    return {
        "data": set(template.data) | OWN_KEYS,
        "labels": set(template.metadata.labels) | {found.RESOURCE_UID},
        "annotations": set(template.metadata.annotations),
    }


@given(foreign, resources, resources, tokens)
def test_what_is_foreign_stays_and_what_was_ours_goes(
    secret: dict[str, Any],
    before: PineconeAccessToken,
    after_: PineconeAccessToken,
    token: found.StoredToken,
) -> None:
    first = patched(secret, before, token)
    second = read_target(patched(first, after_, token))
    was, is_now = own_names(before), own_names(after_)
    for part, held in parts(read_target(secret)).items():
        untouched = {name: text for name, text in held.items() if name not in was[part]}
        for name in untouched.keys() - is_now[part]:
            assert parts(second)[part][name] == untouched[name]
        assert not (was[part] - is_now[part]) & parts(second)[part].keys()
    assert [one for one in second.owner_references if one.get("uid") != UID] == secret["metadata"][
        "ownerReferences"
    ]


@given(foreign, resources, tokens)
def test_nothing_of_ours_is_left_after_a_removal(
    secret: dict[str, Any], resource: PineconeAccessToken, token: found.StoredToken
) -> None:
    merging = make_resource(
        target={
            "creationPolicy": "Merge",
            "template": TypeAdapter(Template).dump_python(
                resource.spec.target.template, by_alias=True
            ),
        }
    )
    written = patched(secret, merging, token)
    patch = removal_patch(read_target(written))
    left = read_target(merge(written, patch))
    assert patch["metadata"]["resourceVersion"] == "7"
    names_of_ours = own_names(merging)
    for part, held in parts(read_target(secret)).items():
        kept = {name: text for name, text in held.items() if name not in names_of_ours[part]}
        assert parts(left)[part] == kept
    assert list(left.owner_references) == secret["metadata"]["ownerReferences"]


def test_a_refusal_to_be_written_into_later_does_not_hinder_the_removal() -> None:
    resource = make_resource(target={"creationPolicy": "Merge"})
    written = make_secret(resource)
    left = merge(written, removal_patch(read_target(written)))
    assert left["data"] == {}
    assert left["metadata"]["labels"] == {}
    assert left["metadata"]["annotations"] == {}


def test_a_target_known_without_its_data_gets_all_of_it() -> None:
    resource = make_resource()
    kept = read_target(make_secret(resource)).without_data()
    desired = desire(resource, make_token())
    patch = secret_patch(kept, desired, UID)
    assert patch is not None
    assert patch["data"] == desired.data
    other = replace(kept, annotations={**kept.annotations, found.MANAGED: '{"data":["old"]}'})
    patch = secret_patch(other, desired, UID)
    assert patch is not None
    assert patch["data"] == {**desired.data, "old": None}
