from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.config.shard import Shard
from tests.support.builders import make_resource

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=30)


def shards(count: int) -> list[Shard]:
    return [Shard(index, count) for index in range(count)]


@given(NAMES, NAMES, st.integers(1, 20))
def test_target_belongs_to_exactly_one_shard(namespace: str, name: str, count: int) -> None:
    assert sum(shard.has(namespace, name) for shard in shards(count)) == 1


@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_shards_are_about_equal_in_size(count: int) -> None:
    sizes = Counter(
        shard.index
        for number in range(10_000)
        for shard in shards(count)
        if shard.has("team", f"token-{number}")
    )
    assert min(sizes.values()) > 0.9 * 10_000 / count


def test_resources_with_the_same_target_share_a_shard() -> None:
    objects = [
        {"metadata": {"namespace": "shop", "name": name}, "spec": {"target": {"name": "shared"}}}
        for name in ("zebra", "zoo")
    ]
    for shard in shards(7):
        assert shard.serves(objects[0]) == shard.serves(objects[1]) == shard.has("shop", "shared")


def test_target_name_defaults_to_the_resource_name() -> None:
    resource = make_resource()
    obj = {"metadata": {"namespace": "shop", "name": resource.metadata.name}, "spec": {}}
    for shard in shards(5):
        assert shard.serves(obj) == shard.has(*resource.target_key)


def test_shard_of_a_target_is_stable_across_releases() -> None:
    assert [Shard(index, 4).has("shop", "search") for index in range(4)].index(True) == 2
