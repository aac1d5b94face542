from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.api.access_token import PineconeAccessToken
from pinecone_token_operator.controller.index import Index
from tests.support.builders import make_resource


def named(
    name: str,
    target: str | None = None,
    credentials: str = "account",
    namespace: str = "shop",
    created: str = "2026-11-25T11:00:00Z",
) -> PineconeAccessToken:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"{namespace}-{name}",
        "creationTimestamp": created,
    }
    return make_resource(
        metadata, credentialsSecretRef={"name": credentials}, target={"name": target}
    )


def filled(*resources: PineconeAccessToken) -> Index:
    index = Index()
    for resource in resources:
        index.put(resource)
    return index


def test_an_empty_index() -> None:
    index = Index()
    assert len(index) == 0
    assert not index
    assert index.get(("shop", "a")) is None
    assert index.remove(("shop", "a")) is None
    assert not index.is_wanted(("shop", "a"))
    assert not index.referring_to(("shop", "a"))


def test_a_resource_is_found_by_its_key_and_by_both_its_secrets() -> None:
    resource = named("a", target="token")
    index = filled(resource)
    assert index.get(("shop", "a")) is resource
    assert list(index) == [("shop", "a")]
    assert list(index.referring_to(("shop", "token"))) == [("shop", "a")]
    assert list(index.referring_to(("shop", "account"))) == [("shop", "a")]
    assert not index.referring_to(("shop", "a"))
    assert not index.is_wanted(("other", "token"))


def test_a_secret_of_many_is_wanted_until_the_last_is_gone() -> None:
    index = filled(named("a"), named("b"))
    assert set(index.referring_to(("shop", "account"))) == {("shop", "a"), ("shop", "b")}
    index.remove(("shop", "a"))
    assert index.is_wanted(("shop", "account"))
    index.remove(("shop", "b"))
    assert not index.is_wanted(("shop", "account"))


def test_a_changed_resource_no_longer_wants_its_old_credentials() -> None:
    index = filled(named("a", credentials="old"), named("a", credentials="new"))
    assert len(index) == 1
    assert not index.is_wanted(("shop", "old"))
    assert list(index.referring_to(("shop", "new"))) == [("shop", "a")]


def test_one_secret_for_both_can_be_put_and_removed() -> None:
    index = filled(named("a", target="account"))
    assert list(index.referring_to(("shop", "account"))) == [("shop", "a")]
    index.remove(("shop", "a"))
    assert not index.is_wanted(("shop", "account"))


def test_keys_may_be_walked_while_resources_are_removed() -> None:
    index = filled(named("a"), named("b"))
    keys = index
    for key in keys:
        index.remove(key)
    assert len(index) == 0


LATER = "2026-11-25T11:00:01Z"


@pytest.mark.parametrize(
    ("other", "older"),
    [
        pytest.param(named("a", target="token"), "a", id="an older one has the same target"),
        pytest.param(
            named("c", target="token", created=LATER),
            "c",
            id="of two of one second the first by name counts as older",
        ),
        pytest.param(
            named("a", target="token", created="2026-11-25T12:00:00Z"), None, id="a younger one"
        ),
        pytest.param(named("token"), "token", id="a name is a target too"),
        pytest.param(named("a"), None, id="another target"),
        pytest.param(named("a", credentials="token"), None, id="credentials are no target"),
        pytest.param(named("a", target="token", namespace="b"), None, id="another namespace"),
    ],
)
def test_who_is_older(other: PineconeAccessToken, older: str | None) -> None:
    resource = named("d", target="token", created=LATER)
    index = filled(resource, other)
    assert index.older_claimant(resource) == older
    if older is not None:
        assert index.older_claimant(other) is None
        index.remove(other.key)
        assert index.older_claimant(resource) is None


resources = st.builds(
    named,
    st.sampled_from("abc"),
    target=st.none() | st.sampled_from("abx"),
    credentials=st.sampled_from("xyz"),
    namespace=st.sampled_from(["shop", "mart"]),
    created=st.sampled_from(["2026-11-25T11:00:00Z", LATER]),
)


@given(st.lists(resources), st.lists(st.tuples(st.just("shop"), st.sampled_from("abc"))))
def test_an_index_tells_what_its_resources_tell(
    put: list[PineconeAccessToken], removed: list[tuple[str, str]]
) -> None:
    index, held = filled(*put), {one.key: one for one in put}
    for key in removed:
        assert index.remove(key) == held.pop(key, None)
    keys = index
    assert {key: index.get(key) for key in keys} == held
    secrets = {
        secret for one in (*put, *held.values()) for secret in (one.target_key, one.credentials_key)
    }
    for secret in secrets:
        expected: set[Any] = {
            one.key for one in held.values() if secret in (one.target_key, one.credentials_key)
        }
        assert set(index.referring_to(secret)) == expected
        assert index.is_wanted(secret) == bool(expected)
        keepers = [
            one
            for one in held.values()
            if one.target_key == secret and index.older_claimant(one) is None
        ]
        assert len(keepers) == any(one.target_key == secret for one in held.values())
