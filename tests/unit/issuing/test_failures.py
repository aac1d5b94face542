from datetime import timedelta

import pytest

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.failures import HANDLING, delay_after

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def test_table_covers_every_failure() -> None:
    assert HANDLING.keys() == set(ExchangeFailure)
    assert len({handling.reason for handling in HANDLING.values()}) == len(ExchangeFailure)


@pytest.mark.parametrize(
    ("failure", "reason", "delay", "delay_when_expired"),
    [
        # Half of 2^8 s or of 5 min; without a valid token, half of 30 s.
        (ExchangeFailure.UNAVAILABLE, Reason.UNAVAILABLE, 128 * SECOND, 15 * SECOND),
        (ExchangeFailure.THROTTLED, Reason.THROTTLED, 128 * SECOND, 15 * SECOND),
        (ExchangeFailure.INVALID, Reason.RESPONSE_INVALID, 128 * SECOND, 15 * SECOND),
        # Between 1 and 10 min, with a token and without.
        (ExchangeFailure.REJECTED, Reason.REJECTED, 5.5 * MINUTE, 5.5 * MINUTE),
    ],
)
def test_failure_has_its_reason_and_backoff(
    failure: ExchangeFailure, reason: Reason, delay: timedelta, delay_when_expired: timedelta
) -> None:
    error = ExchangeError(failure, "it failed")
    assert HANDLING[failure].reason is reason
    assert delay_after(error, 8, timedelta(hours=24), 0.5) == delay
    assert delay_after(error, 8, timedelta(), 0.5) == delay_when_expired


@pytest.mark.parametrize("failure", ExchangeFailure)
def test_requested_delay_takes_precedence(failure: ExchangeFailure) -> None:
    error = ExchangeError(failure, "it failed", retry_after=10 * MINUTE)
    for remaining in (timedelta(), 4 * SECOND, timedelta(hours=1)):
        assert delay_after(error, 1, remaining, 0.0) == 10 * MINUTE
        assert delay_after(error, 1, remaining, 0.999) <= 11 * MINUTE


def test_advice_names_the_credentials_only_when_rejected() -> None:
    advised = {failure for failure, handling in HANDLING.items() if handling.advice}
    assert advised == {ExchangeFailure.REJECTED}
    advice = HANDLING[ExchangeFailure.REJECTED].advice
    assert "in Secret shop/account" in advice.format(secret="shop/account")
