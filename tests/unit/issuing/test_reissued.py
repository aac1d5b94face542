import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.backoff import retry_delay
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.oauth import AccessToken
from pinecone_token_operator.issuing.reissued import IssuedTokens
from pinecone_token_operator.policies import schedule

START = datetime(2026, 11, 25, 12, tzinfo=UTC)


def token(text: str, after: float, lifetime: float) -> AccessToken:
    now = START + timedelta(seconds=after)
    return AccessToken(text, "Bearer", now, now + timedelta(seconds=lifetime))


def expiry(issued: AccessToken) -> float:
    return (issued.expires_at - START).total_seconds()


def test_reissued_token_keeps_its_first_expiry() -> None:
    tokens = IssuedTokens()
    assert expiry(tokens.limit(token("a", 0, 1800))) == 1800
    assert expiry(tokens.limit(token("a", 1200, 1800))) == 1800
    assert expiry(tokens.limit(token("b", 1300, 1800))) == 3100


def test_earlier_expiry_of_a_token_is_believed() -> None:
    tokens = IssuedTokens()
    tokens.limit(token("a", 0, 1800))
    assert expiry(tokens.limit(token("a", 10, 600))) == 610
    assert expiry(tokens.limit(token("a", 20, 1800))) == 610


def test_expired_reissued_token_is_refused() -> None:
    tokens = IssuedTokens()
    tokens.limit(token("s3cret", 0, 1800))
    with pytest.raises(ExchangeError, match="already expired") as caught:
        tokens.limit(token("s3cret", 1800, 1800))
    assert caught.value.failure is ExchangeFailure.INVALID
    assert "s3cret" not in str(caught.value)


def test_tokens_are_forgotten_after_they_expired() -> None:
    tokens = IssuedTokens()
    for number in range(10_000):
        tokens.limit(token(f"token-{number}", number, 100))
    # Those of 100 s of life and 10 min of memory, and as many again until the next sweep.
    assert len(tokens) <= 2 * 700 + 1


class CachingEndpoint:
    """An endpoint that hands out one token until it expires.

    Args:
        lifetime: of a token, in seconds.
        honest: whether a reply's `expires_in` is what is left; else it is always the lifetime.
        lag: how many seconds after its expiry a token is still handed out.
    """

    def __init__(self, lifetime: int, *, honest: bool, lag: int) -> None:
        self._lifetime = lifetime
        self._honest = honest
        self._lag = lag
        self._issued_at = -(10**9)

    def true_expiry(self) -> int:
        return self._issued_at + self._lifetime

    def exchange(self, now: int) -> AccessToken:
        if now >= self.true_expiry() + self._lag:
            self._issued_at = now
        left = self.true_expiry() - now if self._honest else self._lifetime
        if left <= 0:
            raise ExchangeError(ExchangeFailure.INVALID, "the reply's expires_in is not positive")
        return token(f"token-{self._issued_at}", now, left)


@given(
    st.integers(10, 7200),
    st.booleans(),
    st.integers(0, 20),
    st.none() | st.integers(1, 3600),
    st.integers(0, 2**32),
)
def test_cached_token_is_never_overrated_and_costs_few_exchanges(
    lifetime: int, honest: bool, lag: int, refresh_before: int | None, seed: int
) -> None:
    endpoint, tokens = CachingEndpoint(lifetime, honest=honest, lag=lag), IssuedTokens()
    rng = random.Random(seed)
    margin = timedelta(seconds=refresh_before) if refresh_before else None
    now, exchanges, failures, held_until = 0, 0, 0, START
    while now < 3 * (lifetime + lag):
        moment = START + timedelta(seconds=now)
        exchanges += 1
        try:
            issued = tokens.limit(endpoint.exchange(now))
        except ExchangeError:
            failures += 1
            wait = retry_delay(failures, held_until - moment, rng.random())
        else:
            failures, held_until = 0, issued.expires_at
            assert expiry(issued) <= endpoint.true_expiry()
            wait = schedule.refresh_at(moment, held_until, margin, rng.random()) - moment
        now += max(1, int(wait.total_seconds()))
    # About one for each halving of what is left, and retries while an expired token is handed out.
    assert exchanges <= 3 * (2 * lifetime.bit_length() + 2 * lag + 10)
