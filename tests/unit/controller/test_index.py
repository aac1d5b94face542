from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.api.common import Metadata
from pinecone_token_operator.controller.index import Index
from pinecone_token_operator.keys import ObjectRef, SecretKey
from tests.support.builders import after, make_resource
from tests.support.documented import KIND

LATER = "2026-11-25T11:00:01Z"
TOKEN = ("shop", "token")


def named(
    name: str,
    target: str | None = None,
    credentials: str = "account",
    namespace: str = "shop",
    created: str = "2026-11-25T11:00:00Z",
    uid: str = "",
) -> PineconeAccessToken:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"{namespace}-{name}",
        "creationTimestamp": created,
    }
    return make_resource(
        metadata, credentialsSecretRef={"name": credentials}, target={"name": target}
    )


def ref(name: str, namespace: str = "shop") -> ObjectRef:
    return ObjectRef(KIND, namespace, name)


def filled(*resources: PineconeAccessToken) -> Index:
    index = Index()
    for resource in resources:
        index.put(resource)
    return index


# Keys


def test_index_is_empty_at_first() -> None:
    index = Index()
    assert len(index) == 0
    assert not index
    assert index.get(ref("a")) is None
    assert index.remove(ref("a")) is None
    assert not index.has("shop-a")
    assert not index.is_wanted(("shop", "a"))
    assert not index.referring_to(("shop", "a"))
    assert not index.affected_by(("shop", "a"))


def test_index_finds_a_resource_by_reference_uid_and_secrets() -> None:
    resource = named("a", target="token")
    index = filled(resource)
    assert index.get(ref("a")) is resource
    assert list(index) == [ref("a")]
    assert index.has("shop-a")
    assert index.referring_to(TOKEN) == [ref("a")]
    assert index.referring_to(("shop", "account")) == [ref("a")]
    assert not index.referring_to(("shop", "a"))
    assert not index.is_wanted(("other", "token"))


def test_index_distinguishes_kinds_namespaces_and_names() -> None:
    index = filled(named("a"))
    for other in (ref("b"), ref("a", "mart"), ObjectRef("Other", "shop", "a")):
        assert index.get(other) is None
        assert index.remove(other) is None
    assert list(index) == [ref("a")]


def test_index_wants_a_secret_until_its_last_user_is_gone() -> None:
    index = filled(named("a"), named("b"))
    assert set(index.referring_to(("shop", "account"))) == {ref("a"), ref("b")}
    index.remove(ref("a"))
    assert index.is_wanted(("shop", "account"))
    index.remove(ref("b"))
    assert not index.is_wanted(("shop", "account"))


def test_index_forgets_the_old_secrets_of_a_changed_resource() -> None:
    index = filled(
        named("a", target="was", credentials="old"), named("a", target="is", credentials="new")
    )
    assert len(index) == 1
    assert not index.is_wanted(("shop", "old"))
    assert not index.is_wanted(("shop", "was"))
    assert index.referring_to(("shop", "new")) == [ref("a")]
    assert index.referring_to(("shop", "is")) == [ref("a")]


def test_index_forgets_the_uid_of_a_recreated_resource() -> None:
    index = filled(named("a", uid="first"), named("a", uid="second"))
    assert not index.has("first")
    assert index.has("second")
    index.remove(ref("a"))
    assert not index.has("second")


def test_index_takes_one_secret_for_credentials_and_target() -> None:
    index = filled(named("a", target="account"))
    assert index.referring_to(("shop", "account")) == [ref("a")]
    assert index.affected_by(("shop", "account")) == [ref("a")]
    index.remove(ref("a"))
    assert not index.is_wanted(("shop", "account"))


def test_index_can_be_changed_while_it_is_iterated() -> None:
    index = filled(named("a"), named("b"))
    for each in index:
        index.remove(each)
    assert len(index) == 0


# Claims


@pytest.mark.parametrize(
    ("other", "owner_uid", "rival"),
    [
        pytest.param(named("a", target="token"), None, "a", id="older"),
        pytest.param(
            named("c", target="token", created=LATER), None, "c", id="same second, first by name"
        ),
        pytest.param(
            named("e", target="token", created=LATER), None, None, id="same second, last by name"
        ),
        pytest.param(
            named("a", target="token", created="2026-11-25T12:00:00Z"), None, None, id="younger"
        ),
        pytest.param(named("token"), None, "token", id="target by its own name"),
        pytest.param(named("a"), None, None, id="another target"),
        pytest.param(named("a", credentials="token"), None, None, id="credentials only"),
        pytest.param(named("a", target="token", namespace="b"), None, None, id="other namespace"),
        pytest.param(named("a", target="token"), "shop-d", None, id="older without its UID on it"),
        pytest.param(
            named("e", target="token", created="2026-11-25T12:00:00Z"),
            "shop-e",
            "e",
            id="younger with its UID on it",
        ),
        pytest.param(named("a"), "shop-a", None, id="UID of one that does not claim it"),
        pytest.param(named("a", target="token"), "gone", "a", id="UID of one that is gone"),
    ],
)
def test_index_rival_is_the_other_resource_that_owns_a_target(
    other: PineconeAccessToken, owner_uid: str | None, rival: str | None
) -> None:
    resource = named("d", target="token", created=LATER)
    index = filled(resource, other)
    assert index.rival(resource, TOKEN, owner_uid) == (rival and f"{KIND} {rival}")
    if rival is not None:
        assert index.rival(other, TOKEN, owner_uid) is None
        index.remove(other.ref)
        assert index.rival(resource, TOKEN, owner_uid) is None


def test_index_rival_changes_with_the_claims() -> None:
    first, second = named("a", target="token"), named("b", target="token", created=LATER)
    index = filled(second)
    assert index.rival(second, TOKEN, None) is None
    index.put(first)
    assert index.rival(second, TOKEN, None) == f"{KIND} a"
    third = named("c", target="token", created=LATER)
    index.put(third)
    assert index.rival(third, TOKEN, None) == f"{KIND} a"
    index.put(named("a", target="other"))
    assert index.rival(second, TOKEN, None) is None
    assert index.rival(third, TOKEN, None) == f"{KIND} b"


claimants = st.lists(
    st.builds(
        named,
        st.sampled_from("abcde"),
        target=st.just("token"),
        created=st.sampled_from(["2026-11-25T11:00:00Z", LATER]),
        uid=st.sampled_from("12345"),
    ),
    min_size=1,
    unique_by=(lambda one: one.metadata.name, lambda one: one.metadata.uid),
)


@given(claimants, st.none() | st.sampled_from(["1", "2", "3", "gone"]), st.randoms())
def test_index_has_exactly_one_owner_for_any_claimants(
    resources: list[PineconeAccessToken], owner_uid: str | None, rng: Any
) -> None:
    index = filled(*resources)
    order = list(resources)
    rng.shuffle(order)
    rivals = {one.metadata.name: index.rival(one, TOKEN, owner_uid) for one in order}
    owners = [name for name, rival in rivals.items() if rival is None]
    assert len(owners) == 1
    assert {rival for rival in rivals.values() if rival is not None} <= {f"{KIND} {owners[0]}"}
    on_target = [one.metadata.name for one in resources if one.metadata.uid == owner_uid]
    oldest = min(
        resources, key=lambda one: (one.metadata.creation_timestamp, one.metadata.name)
    ).metadata.name
    assert owners == (on_target or [oldest])


# Events


def test_index_change_affects_all_claimants_without_an_owner() -> None:
    index = filled(named("a", target="token"), named("b", target="token"))
    assert set(index.affected_by(TOKEN)) == {ref("a"), ref("b")}


def test_index_change_of_a_target_affects_its_owner_only() -> None:
    first, second = named("a", target="token"), named("b", target="token")
    index = filled(first, second, named("c", target="token"))
    assert index.rival(second, TOKEN, "shop-a") == f"{KIND} a"
    assert index.affected_by(TOKEN) == [ref("a")]
    assert set(index.referring_to(TOKEN)) == {ref("a"), ref("b"), ref("c")}


def test_index_change_of_a_target_affects_the_oldest_too() -> None:
    # The younger one wrote it first. If it is deleted, the oldest one is to recreate it.
    first, second = named("a", target="token"), named("b", target="token", created=LATER)
    index = filled(first, second, named("c", target="token", created=LATER))
    assert index.rival(first, TOKEN, "shop-b") == f"{KIND} b"
    assert set(index.affected_by(TOKEN)) == {ref("a"), ref("b")}


def test_index_change_of_credentials_affects_all_their_users() -> None:
    first, second = named("a", credentials="token"), named("b", target="token")
    index = filled(first, second, named("c", target="token"), named("d", credentials="token"))
    assert index.rival(second, TOKEN, None) is None
    assert set(index.affected_by(TOKEN)) == {ref("a"), ref("b"), ref("d")}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda index: index.put(named("0", target="token")), id="new claimant"),
        pytest.param(lambda index: index.remove(ref("c")), id="claimant gone"),
        pytest.param(lambda index: index.put(named("a", target="token")), id="owner changed"),
    ],
)
def test_index_owner_is_unknown_again_when_the_claims_change(change: Any) -> None:
    first, second = named("a", target="token"), named("b", target="token")
    index = filled(first, second, named("c", target="token"))
    assert index.rival(second, TOKEN, "shop-a") == f"{KIND} a"
    change(index)
    assert set(index.affected_by(TOKEN)) == set(index.referring_to(TOKEN))


resources = st.builds(
    named,
    st.sampled_from("abc"),
    target=st.none() | st.sampled_from("abx"),
    credentials=st.sampled_from("xyz"),
    namespace=st.sampled_from(["shop", "mart"]),
    created=st.sampled_from(["2026-11-25T11:00:00Z", LATER]),
)


@given(
    st.lists(resources),
    st.lists(st.sampled_from("abc").map(ref)),
    st.none() | st.sampled_from(["shop-a", "shop-b", "gone"]),
)
def test_index_agrees_with_a_search_of_all_resources(
    put: list[PineconeAccessToken], removed: list[ObjectRef], owner_uid: str | None
) -> None:
    index, held = filled(*put), {one.ref: one for one in put}
    for each in removed:
        assert index.remove(each) == held.pop(each, None)
    assert {each: index.get(each) for each in index} == held
    for one in put:
        assert index.has(one.metadata.uid) == (one.ref in held)
    secrets: set[SecretKey] = {
        secret for one in put for secret in (one.target_key, one.credentials_key)
    }
    for secret in secrets:
        users = {one.ref for one in held.values() if secret == one.credentials_key}
        claimants_ = {one.ref for one in held.values() if secret == one.target_key}
        assert set(index.referring_to(secret)) == users | claimants_
        assert index.is_wanted(secret) == bool(users | claimants_)
        owners = {one for one in claimants_ if index.rival(held[one], secret, owner_uid) is None}
        assert len(owners) == bool(claimants_)
        assert users | owners <= set(index.affected_by(secret)) <= users | claimants_


# Cluster-scoped resources


@dataclass(frozen=True)
class Shared:
    """A cluster-scoped resource, whose targets are claimed apart from it."""

    metadata: Metadata
    credentials_key: SecretKey = ("operator", "account")
    target_keys: tuple[SecretKey, ...] = ()

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef("Shared", "", self.metadata.name)


def shared(name: str, minutes: float = -120) -> Shared:
    return Shared(Metadata(name, name, after(minutes)))


def test_index_wants_claimed_targets_until_they_are_given_up() -> None:
    index, resource = Index(), shared("all")
    index.put(resource)
    index.claim(resource, [TOKEN, ("mart", "token")])
    assert set(index.targets_of(resource)) == {TOKEN, ("mart", "token")}
    assert index.is_wanted(TOKEN)
    index.claim(resource, [("mart", "token"), ("deli", "token")])
    assert not index.is_wanted(TOKEN)
    assert index.affected_by(("deli", "token")) == [resource.ref]
    index.remove(resource.ref)
    assert not index.is_wanted(("mart", "token"))
    assert not index.targets_of(resource)


@pytest.mark.parametrize("owner_uid", [None, "all", "shop-a"])
def test_index_prefers_a_resource_in_the_targets_namespace(owner_uid: str | None) -> None:
    told: list[ObjectRef] = []
    index, resource = Index(told.append), shared("all")
    index.put(resource)
    index.claim(resource, [TOKEN])
    assert index.rival(resource, TOKEN, owner_uid) is None
    younger = named("a", target="token", created=LATER)
    index.put(younger)
    assert told == [resource.ref]
    assert index.rival(resource, TOKEN, owner_uid) == f"{KIND} a"
    assert index.rival(younger, TOKEN, owner_uid) is None
    index.remove(younger.ref)
    assert index.rival(resource, TOKEN, owner_uid) is None


def test_index_keeps_the_order_among_cluster_scoped_resources() -> None:
    first, second = shared("b"), shared("a", minutes=0)
    index = Index()
    for each in (first, second):
        index.put(each)
        index.claim(each, [TOKEN])
    assert index.rival(second, TOKEN, None) == "Shared b"
    assert index.rival(first, TOKEN, "a") == "Shared a"
