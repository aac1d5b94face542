"""What holds of all patches: one is enough, and what is not ours stays."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.targets.secret import (
    content_patch,
    desire,
    essential,
    overwritten,
    ownership_patch,
    removal_patch,
)
from pinecone_token_operator.targets.stored_token import StoredToken
from pinecone_token_operator.targets.target import Target, read_target, stored_token
from tests.support.builders import (
    UID,
    after,
    encode,
    make_resource,
    make_spec,
    make_token,
    stored_secret,
)
from tests.support.documented import (
    ALLOW_MERGE,
    CHECKSUM,
    CREDENTIALS_SOURCE,
    EXPIRES_AT,
    MANAGED,
    PREFIX,
    REFRESH_REQUEST,
    RESOURCE,
    RESOURCE_UID,
    TARGET,
)
from tests.support.merge_patch import merge

SOMEONE = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "a11"}
OWN_KEYS = {"access_token", "token_type", "expires_at"}
LEGACY_CHECKSUM = f"{PREFIX}data"

# Few names, so that what is someone else's, what was ours and what is to be ours meet.
names = st.sampled_from(["a", "b", "c", "d"])
texts = st.sampled_from(["", "1", "2"])
pairs = st.dictionaries(names, texts)
templates = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries({"labels": pairs, "annotations": pairs}),
        "data": st.dictionaries(names, st.sampled_from(["", "1", "${access_token}"])),
    }
)


def resources(*creation_policies: str) -> st.SearchStrategy[PineconeAccessToken]:
    return st.builds(
        lambda creation, deletion, template: make_resource(
            target={"creationPolicy": creation, "deletionPolicy": deletion, "template": template}
        ),
        st.sampled_from(creation_policies),
        st.sampled_from(["Delete", "Retain"]),
        templates,
    )


any_resource = resources("Owner", "Merge")
tokens = st.builds(
    make_token,
    access_token=st.sampled_from(["t0ken", "new"]),
    refresh_at=st.sampled_from([after(18), after(19)]),
    credentials=st.sampled_from(["c0ffee", "other"]),
    request=st.sampled_from(["", "now"]),
    source=st.sampled_from(["", "5ec", "other"]),
)
not_ours = st.builds(
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
    pairs | st.just({ALLOW_MERGE: "true"}),
    st.sampled_from([[], [SOMEONE]]),
)
our_annotations = st.sampled_from(
    [
        *(MANAGED, CHECKSUM, LEGACY_CHECKSUM, RESOURCE, RESOURCE_UID, TARGET, EXPIRES_AT),
        *(REFRESH_REQUEST, CREDENTIALS_SOURCE),
    ]
)
drifts = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(
            names | st.sampled_from(sorted(OWN_KEYS)), st.none() | texts.map(encode)
        ),
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(names | st.just(RESOURCE_UID), st.none() | texts),
                "annotations": st.dictionaries(
                    names | our_annotations,
                    st.none() | texts | st.text("acdeknopty_", max_size=12),
                ),
                "ownerReferences": st.sampled_from(
                    [None, [], [SOMEONE], [{"uid": UID, "controller": False}]]
                ),
            },
        ),
    },
)


def as_legacy(secret: dict[str, Any]) -> dict[str, Any]:
    """Return a Secret as version 0.1.0 would have written it."""
    annotations = dict(secret["metadata"]["annotations"])
    annotations[LEGACY_CHECKSUM] = annotations.pop(CHECKSUM)
    for name in (TARGET, RESOURCE_UID, REFRESH_REQUEST):
        annotations.pop(name, None)
    return {**secret, "metadata": {**secret["metadata"], "annotations": annotations}}


def written(
    secret: dict[str, Any], resource: PineconeAccessToken, token: StoredToken
) -> dict[str, Any]:
    """Return the Secret after the operator has written the token and its ownership."""
    spec = make_spec(resource)
    content = content_patch(read_target(secret), desire(spec, token))
    result = merge(secret, content or {})
    ownership = ownership_patch(read_target(result), spec)
    owned: dict[str, Any] = merge(result, ownership or {})
    return owned


@given(not_ours, any_resource, tokens, st.booleans(), drifts, any_resource, tokens)
def test_content_patch_repairs_everything_at_once(
    secret: dict[str, Any],
    before: PineconeAccessToken,
    first: StoredToken,
    legacy: bool,
    drift: dict[str, Any],
    after_: PineconeAccessToken,
    second: StoredToken,
) -> None:
    """Whatever happened to a target, one patch makes it right, and the next is none."""
    was = written(secret, before, first)
    changed = merge(as_legacy(was) if legacy else was, drift)
    repaired = read_target(written(changed, after_, second))
    spec = make_spec(after_)
    desired = desire(spec, second)
    assert content_patch(repaired, desired) is None
    assert ownership_patch(repaired, spec) is None
    assert repaired.data is not None
    assert desired.data.items() <= repaired.data.items()
    assert desired.labels.items() <= repaired.labels.items()
    owners = [one for one in repaired.owner_references if one.get("uid") == UID]
    assert owners == ([spec.owner_reference] if spec.owner_reference else [])
    token = stored_token(repaired, UID)
    assert token is not None
    if repaired.is_legacy:
        # It differs in nothing else; which request it served, version 0.1.0 did not record.
        assert replace(token, request=second.request, source=second.source) == second
    else:
        # A missing or different credentials-source alone does not cause a write.
        needed = {*desired.annotations.items()} - {(CREDENTIALS_SOURCE, second.source)}
        assert needed <= repaired.annotations.items()
        assert replace(token, source=second.source) == second


def parts(target: Target) -> dict[str, dict[str, str]]:
    return {
        "data": dict(target.data or {}),
        "labels": dict(target.labels),
        "annotations": dict(target.annotations),
    }


def own_names(resource: PineconeAccessToken) -> dict[str, set[str]]:
    """Return the names that a resource asks for."""
    template = resource.spec.target.template
    return {
        "data": set(template.data) | OWN_KEYS,
        "labels": set(template.metadata.labels) | {RESOURCE_UID},
        "annotations": set(template.metadata.annotations),
    }


@given(not_ours, any_resource, any_resource, tokens)
def test_content_patch_keeps_what_is_not_ours(
    secret: dict[str, Any],
    before: PineconeAccessToken,
    after_: PineconeAccessToken,
    token: StoredToken,
) -> None:
    """What was ours and is no longer desired is removed."""
    first = written(secret, before, token)
    second = read_target(written(first, after_, token))
    was, is_now = own_names(before), own_names(after_)
    for part, held in parts(read_target(secret)).items():
        untouched = {name: text for name, text in held.items() if name not in was[part]}
        for name in untouched.keys() - is_now[part]:
            assert parts(second)[part][name] == untouched[name]
        assert not (was[part] - is_now[part]) & parts(second)[part].keys()
    assert [one for one in second.owner_references if one.get("uid") != UID] == secret["metadata"][
        "ownerReferences"
    ]


@given(not_ours, any_resource, any_resource, tokens, tokens)
def test_essential_keeps_all_but_the_token(
    secret: dict[str, Any],
    before: PineconeAccessToken,
    after_: PineconeAccessToken,
    first: StoredToken,
    second: StoredToken,
) -> None:
    held = read_target(written(secret, before, first))
    least = essential(make_spec(after_), second, held)
    patch = content_patch(held, least, prune=False) or {}
    left = read_target(merge(written(secret, before, first), patch))
    for part, before_ in parts(held).items():
        kept = {
            name: text
            for name, text in before_.items()
            if name not in OWN_KEYS and not name.startswith(PREFIX)
        }
        assert kept.items() <= parts(left)[part].items()
        assert {name for name in parts(left)[part] if not name.startswith(PREFIX)} == (
            kept.keys() | (OWN_KEYS if part == "data" else set())
        )
    assert left.owner_references == held.owner_references
    assert left.labels == held.labels
    assert content_patch(left, least, prune=False) is None


@given(not_ours, resources("Merge"), tokens)
def test_overwritten_names_all_that_a_merge_changes(
    secret: dict[str, Any], resource: PineconeAccessToken, token: StoredToken
) -> None:
    """Only where it names nothing, a merge followed by a removal leaves everything as it was."""
    target = read_target(secret)
    found = overwritten(target, make_spec(resource))
    shared = {
        f"{word} {name}"
        for word, part in (("key", "data"), ("label", "labels"), ("annotation", "annotations"))
        for name in own_names(resource)[part] & parts(target)[part].keys()
    }
    assert set(found) == shared
    merged = written(secret, resource, token)
    left = read_target(merge(merged, removal_patch(read_target(merged))))
    if not found:
        assert parts(left) == parts(target)
    # Once written, the names are ours.
    assert overwritten(read_target(merged), make_spec(resource)) == []


@given(not_ours, resources("Merge"), tokens)
def test_removal_patch_removes_ours_and_nothing_else(
    secret: dict[str, Any], resource: PineconeAccessToken, token: StoredToken
) -> None:
    merged = written(secret, resource, token)
    patch = removal_patch(read_target(merged))
    left = read_target(merge(merged, patch))
    ours = own_names(resource)
    for part, held in parts(read_target(secret)).items():
        kept = {name: text for name, text in held.items() if name not in ours[part]}
        assert parts(left)[part] == kept
    assert list(left.owner_references) == secret["metadata"]["ownerReferences"]
