"""An exchange and what it leaves in a resource's memory, with an endpoint that answers at once."""

import random
from datetime import datetime, timedelta

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import AccessToken
from pinecone_token_operator.reconcilers.exchange import Exchange
from pinecone_token_operator.reconcilers.state import Memory
from pinecone_token_operator.telemetry.metrics import Metrics
from tests.support.builders import NOON, make_observed


class Throttling:
    """A token endpoint that always asks for a minute's patience."""

    def __init__(self) -> None:
        self.asked = 0

    async def exchange(self, _: Credentials) -> AccessToken:
        self.asked += 1
        raise ExchangeError(
            ExchangeFailure.THROTTLED, "too many requests", retry_after=timedelta(minutes=1)
        )


async def test_a_client_that_is_to_wait_waits_though_the_clock_is_set_forward() -> None:
    now, endpoint = NOON, Throttling()

    def clock() -> datetime:
        return now

    exchange = Exchange(endpoint, Metrics(), clock, random.Random(1))
    observed, memory = make_observed(target=None), Memory({})
    for _ in range(2):
        assert await exchange.fetch(observed, Credentials("id", "client-secret"), memory) is None
        assert memory.attempts.retry_at is not None
        assert memory.attempts.retry_at > now
        now += timedelta(hours=1)
    assert endpoint.asked == 1
