import sys
import uuid

from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.controller.relist import Uids


@given(st.sets(st.text(min_size=1)), st.text(min_size=1))
def test_uids_contain_what_was_added(added: set[str], other: str) -> None:
    uids = Uids()
    for each in added:
        uids.add(each)
    assert all(each in uids for each in added)
    assert (other in uids) == (other in added)


def test_uids_can_be_added_after_a_question() -> None:
    uids = Uids()
    assert "a" not in uids
    uids.add("a")
    assert "a" in uids
    uids.add("b")
    assert "b" in uids
    assert "c" not in uids


def test_uids_take_little_memory() -> None:
    uids = Uids()
    for _ in range(10_000):
        uids.add(str(uuid.uuid4()))
    (hashes,) = (held for held in vars(uids).values() if not isinstance(held, bool))
    assert sys.getsizeof(hashes) < 100_000
