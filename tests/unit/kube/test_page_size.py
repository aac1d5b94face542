import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.kube.page_size import MAX, MIN, TARGET_BYTES, PageSize


@pytest.mark.parametrize(
    ("objects", "size", "limit"),
    [
        pytest.param(5, 5_000, 100, id="small objects: more of them"),
        pytest.param(50, 50 * 100_000, 41, id="large objects: as many as fit"),
        pytest.param(50, 50 * 10**6, MIN, id="huge objects: the least"),
        pytest.param(0, 100, 50, id="an empty page says nothing"),
    ],
)
def test_page_size_follows_the_last_page(objects: int, size: int, limit: int) -> None:
    page_size = PageSize()
    page_size.received(objects, size)
    assert page_size.limit == limit


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 10**8))))
def test_page_size_stays_between_its_limits(pages: list[tuple[int, int]]) -> None:
    page_size = PageSize()
    for objects, size in pages:
        page_size.received(objects, size)
        assert MIN <= page_size.limit <= MAX
        if objects and page_size.limit > MIN:
            assert page_size.limit * size // objects <= TARGET_BYTES


def test_page_of_large_objects_after_small_ones_fits_into_memory() -> None:
    page_size = PageSize()
    for _ in range(10):
        page_size.received(page_size.limit, page_size.limit * 1_000)
    assert page_size.limit * 256 * 1024 < 32 * 1024 * 1024


def test_page_size_grows_further_when_lists_expire() -> None:
    page_size = PageSize()
    for _ in range(2):
        page_size.expired()
    limits = []
    for _ in range(2):
        page_size.received(page_size.limit, page_size.limit * 1_000)
        limits.append(page_size.limit)
    assert limits == [MAX, MAX]


def test_page_size_shrinks_to_the_least_when_pages_are_late() -> None:
    page_size = PageSize()
    limits = []
    while page_size.timed_out():
        limits.append(page_size.limit)
    assert limits == [12, MIN]
