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
def test_each_target_falls_to_exactly_one_shard(namespace: str, name: str, count: int) -> None:
    assert sum(shard.has(namespace, name) for shard in shards(count)) == 1


@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_shards_are_of_about_one_size(count: int) -> None:
    sizes = Counter(
        shard.index
        for number in range(10_000)
        for shard in shards(count)
        if shard.has("team", f"token-{number}")
    )
    assert min(sizes.values()) > 0.9 * 10_000 / count


def test_resources_that_name_one_target_are_in_one_shard() -> None:
    objects = [
        {"metadata": {"namespace": "shop", "name": name}, "spec": {"target": {"name": "shared"}}}
        for name in ("zebra", "zoo")
    ]
    for shard in shards(7):
        assert shard.serves(objects[0]) == shard.serves(objects[1]) == shard.has("shop", "shared")


def test_a_target_without_a_name_has_the_resources() -> None:
    resource = make_resource()
    obj = {"metadata": {"namespace": "shop", "name": resource.metadata.name}, "spec": {}}
    for shard in shards(5):
        assert shard.serves(obj) == shard.has(*resource.target_key)


def test_where_a_target_falls_stays_the_same_between_releases() -> None:
    assert [Shard(index, 4).has("shop", "search") for index in range(4)].index(True) == 2
