import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.backoff import backoff

FIRST, LONGEST = timedelta(seconds=1), timedelta(seconds=30)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 1), (1, 2), (2, 4), (4, 16), (5, 30), (10_000, 30)]
)
def test_backoff_doubles_up_to_the_cap(failures: int, seconds: float) -> None:
    rng = random.Random(1)
    delays = [backoff(failures, first=FIRST, longest=LONGEST, rng=rng) for _ in range(200)]
    assert max(delays) == pytest.approx(timedelta(seconds=seconds), rel=0.02)
    assert min(delays) == pytest.approx(timedelta(seconds=seconds / 2), rel=0.02)


@given(st.integers(0, 10_000), st.integers(0, 2**32))
def test_backoff_is_never_below_half_nor_above_the_cap(failures: int, seed: int) -> None:
    delay = backoff(failures, first=FIRST, longest=LONGEST, rng=random.Random(seed))
    assert FIRST / 2 <= delay <= LONGEST
