"""Rate limiting by client id, with an endpoint in memory and a clock that a test moves."""

import asyncio
import random
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.backoff import requested_delay
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth import AccessToken
from pinecone_token_operator.issuing.rate_limit import SUCCESS, RateLimitedIssuer
from pinecone_token_operator.keys import ObjectRef
from tests.support.builders import NOON

ACCOUNT = Credentials("client", "a-secret")
OTHER = Credentials("another-client", "a-secret")
NO_TOKEN = timedelta()
MINUTE = timedelta(minutes=1)
CALLERS = [ObjectRef("PineconeAccessToken", "shop", name) for name in "abc"]
TOKEN = AccessToken("t0ken", "Bearer", NOON, NOON + timedelta(minutes=30))


class World:
    """A token endpoint, the clock, and the issuer in front of the endpoint.

    Attributes:
        requests: when each request was sent, in seconds.
        answers: what the next requests are answered with; the last one stays.
        latency: how many seconds each takes; requests of one moment are in flight together.
        answer: what a test answers the next request with, if it does.
        resumed: the callers that were resumed.
    """

    def __init__(self, *answers: ExchangeError | None, latency: float = 0.0) -> None:
        self.seconds = 1000.0
        self.wall = NOON
        self.requests: list[float] = []
        self.clients: list[str] = []
        self.observed: list[str] = []
        self.answers = list(answers)
        self.latency = latency
        self.answer: asyncio.Future[AccessToken] | None = None
        self.resumed: list[ObjectRef] = []
        env = Env(self.now, lambda: self.seconds, random.Random(1))
        self.issuer = RateLimitedIssuer(
            self, lambda result, _: self.observed.append(result), env, self.resumed.append
        )

    def now(self) -> datetime:
        return self.wall + timedelta(seconds=self.seconds)

    async def issue(self, credentials: Credentials) -> AccessToken:
        """Answer a request, as the endpoint."""
        self.requests.append(self.seconds)
        self.clients.append(credentials.client_id)
        if self.answer is not None:
            return await self.answer
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        await asyncio.sleep(0)
        self.seconds += self.latency
        if answer is not None:
            raise answer
        return TOKEN

    async def ask(
        self,
        credentials: Credentials = ACCOUNT,
        remaining: timedelta = NO_TOKEN,
        caller: ObjectRef | None = None,
    ) -> timedelta | None:
        """Return how long a caller is told to wait; None if it got a token."""
        try:
            await self.issuer.issue(credentials, remaining, caller)
        except ExchangeError as error:
            if error.failure is not ExchangeFailure.THROTTLED:
                raise
            return error.retry_after
        return None

    async def send(self) -> tuple["asyncio.Task[timedelta | None]", "asyncio.Future[AccessToken]"]:
        """Return a request in flight, and what the test answers it with."""
        self.answer = asyncio.get_running_loop().create_future()
        task, answer = asyncio.create_task(self.ask()), self.answer
        await asyncio.sleep(0)
        self.answer = None
        return task, answer

    def pass_time(self, duration: timedelta) -> None:
        self.seconds += duration.total_seconds()


def limited(retry_after: timedelta | None = None) -> ExchangeError:
    """Return what the endpoint answers with 429."""
    return ExchangeError(ExchangeFailure.THROTTLED, "too many", 429, retry_after=retry_after)


async def test_limited_client_id_sends_no_request_until_asked() -> None:
    world = World(limited(MINUTE), None)
    wait = await world.ask()
    assert wait is not None
    assert MINUTE <= wait <= 1.1 * MINUTE
    world.pass_time(wait - timedelta(seconds=1))
    assert await world.ask() == timedelta(seconds=1)
    assert len(world.requests) == 1
    world.pass_time(timedelta(seconds=1))
    assert await world.ask() is None
    assert len(world.requests) == 2


async def test_held_back_caller_is_not_a_failed_request() -> None:
    world = World(limited(MINUTE))
    for http_status in (429, None):
        with pytest.raises(ExchangeError) as raised:
            await world.issuer.issue(ACCOUNT, NO_TOKEN)
        assert raised.value.http_status == http_status
    assert world.observed == [ExchangeFailure.THROTTLED]


async def test_other_client_ids_are_not_limited() -> None:
    world = World(limited(MINUTE), None)
    await world.ask()
    assert await world.ask(OTHER) is None
    assert world.clients == [ACCOUNT.client_id, OTHER.client_id]


async def test_every_request_is_observed_with_its_result() -> None:
    down = ExchangeError(ExchangeFailure.UNAVAILABLE, "503", 503)
    world = World(None, down, limited())
    await world.ask()
    with pytest.raises(ExchangeError, match="503"):
        await world.issuer.issue(ACCOUNT, NO_TOKEN)
    await world.ask()
    assert world.observed == [SUCCESS, ExchangeFailure.UNAVAILABLE, ExchangeFailure.THROTTLED]


@pytest.mark.parametrize(
    ("retry_after", "most"),
    [
        pytest.param(timedelta(seconds=20), 1 + 30, id="every 20 s as asked"),
        # After 1 to 2 s, 2 to 4 s and so on, and then every 15 to 30 s.
        pytest.param(None, 1 + 5 + 40, id="backoff without Retry-After"),
    ],
)
async def test_one_probe_is_sent_per_backoff_for_many_callers(
    retry_after: timedelta | None, most: int
) -> None:
    world = World(limited(retry_after), latency=0.001)
    due = dict.fromkeys(range(30), world.seconds)
    sent = []
    while world.seconds < 1600:
        before = len(world.requests)
        callers = [caller for caller, at in due.items() if at <= world.seconds]
        waits = await asyncio.gather(*(world.ask() for _ in callers))
        for caller, wait in zip(callers, waits, strict=True):
            assert wait is not None
            due[caller] = world.seconds + max(wait.total_seconds(), 0.001)
        sent.append(len(world.requests) - before)
        world.seconds = max(world.seconds, min(due.values()))
    # Before the first 429 nobody knows; after it, one caller probes and the others wait.
    assert sent[0] == 30
    assert set(sent[1:]) <= {0, 1}
    assert 20 <= sum(sent[1:]) <= most


async def test_backoff_without_retry_after_doubles() -> None:
    world = World(limited())
    for number in range(1, 12):
        wait = await world.ask(remaining=timedelta(hours=24))
        assert wait is not None
        longest = min(2**number, 300)
        assert max(longest / 2 - 1, 1) <= wait.total_seconds() <= longest
        world.pass_time(wait)


async def test_requests_in_flight_together_are_one_failure() -> None:
    world = World(limited(), latency=0.001)
    waits = await asyncio.gather(*(world.ask() for _ in range(30)))
    assert len(world.requests) == 30
    # As after one failure, though there were thirty.
    assert all(wait is not None and wait <= timedelta(seconds=2) for wait in waits)


async def test_callers_wait_while_another_one_probes() -> None:
    world = World(limited(MINUTE), None)
    await world.ask()
    world.pass_time(2 * MINUTE)
    probe, answer = await world.send()
    wait = await world.ask()
    assert wait is not None
    assert timedelta(seconds=2) <= wait <= timedelta(seconds=4)
    assert len(world.requests) == 2
    answer.set_result(TOKEN)
    assert await probe is None
    assert await world.ask() is None


async def test_waiting_callers_are_resumed_once_a_probe_succeeds() -> None:
    world = World(limited(MINUTE), None)
    waits = [await world.ask(caller=caller) for caller in CALLERS]
    assert waits[0] is not None
    assert all(wait is not None and wait > 2 * MINUTE for wait in waits[1:])
    world.pass_time(waits[0])
    assert not world.resumed
    assert await world.ask(caller=CALLERS[0]) is None
    assert world.resumed == CALLERS
    assert len(world.requests) == 2


async def test_rejected_probe_resumes_the_others() -> None:
    world = World(limited(MINUTE), ExchangeError(ExchangeFailure.REJECTED, "401", 401), None)
    waits = [await world.ask(caller=caller) for caller in CALLERS]
    assert waits[0] is not None
    world.pass_time(waits[0])
    with pytest.raises(ExchangeError, match="401"):
        await world.ask(caller=CALLERS[0])
    assert world.resumed == CALLERS


async def test_caller_with_the_nearest_expiry_sends_the_probe() -> None:
    world = World(limited())
    first, second, third = CALLERS
    for _ in range(9):
        wait = await world.ask(caller=first, remaining=timedelta(hours=24))
        assert wait is not None
        world.pass_time(wait)
    await world.ask(caller=first, remaining=timedelta(hours=24))
    soon = await world.ask(caller=second, remaining=2 * MINUTE)
    assert soon is not None
    assert soon <= MINUTE / 2
    later = await world.ask(caller=third, remaining=timedelta(hours=24))
    assert later is not None
    assert later > MINUTE


async def test_another_caller_probes_when_the_prober_is_gone() -> None:
    world = World(limited(MINUTE), None)
    waits = [await world.ask(caller=caller) for caller in CALLERS]
    assert waits[1] is not None
    assert waits[1] < 4 * MINUTE
    world.pass_time(waits[1])
    assert await world.ask(caller=CALLERS[1]) is None


async def test_cancelled_probe_lets_another_caller_probe() -> None:
    world = World(limited(MINUTE), None)
    await world.ask()
    world.pass_time(2 * MINUTE)
    probe, _ = await world.send()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert await world.ask() is None


async def test_failed_probe_lets_another_caller_probe() -> None:
    world = World(limited(MINUTE), ExchangeError(ExchangeFailure.UNAVAILABLE, "503", 503), None)
    await world.ask()
    world.pass_time(2 * MINUTE)
    with pytest.raises(ExchangeError, match="503"):
        await world.issuer.issue(ACCOUNT, NO_TOKEN)
    assert await world.ask() is None


@pytest.mark.parametrize("pause", [timedelta(), timedelta(seconds=5)])
async def test_success_in_flight_before_the_429_does_not_clear_it(pause: timedelta) -> None:
    world = World(None)
    early, granted = await world.send()
    late, refused = await world.send()
    world.pass_time(timedelta(seconds=1))
    refused.set_exception(limited(MINUTE))
    assert await late is not None
    world.pass_time(pause)
    granted.set_result(TOKEN)
    assert await early is None
    assert await world.ask() is not None
    assert len(world.requests) == 2


async def test_success_clears_the_limit() -> None:
    world = World(limited(MINUTE), None)
    await world.ask()
    world.pass_time(2 * MINUTE)
    for _ in range(3):
        assert await world.ask() is None
    world.answers = [limited()]
    wait = await world.ask()
    assert wait is not None
    # The backoff starts anew.
    assert wait <= timedelta(seconds=2)


async def test_clock_set_forward_changes_nothing() -> None:
    world = World(limited(MINUTE))
    await world.ask()
    for _ in range(3):
        world.wall += timedelta(hours=1)
        wait = await world.ask()
        assert wait is not None
        assert wait >= MINUTE
    assert len(world.requests) == 1


async def probe(remaining: timedelta, retry_after: timedelta) -> list[float]:
    """Return how many seconds before the expiry one caller sends its requests."""
    world = World(limited(retry_after))
    expires_at = world.seconds + remaining.total_seconds()
    while world.seconds < expires_at:
        wait = await world.ask(remaining=timedelta(seconds=expires_at - world.seconds))
        assert wait is not None
        # As the retry is scheduled: in whole seconds, and up to a tenth later.
        world.pass_time(max(requested_delay(wait, 0.999), timedelta(milliseconds=1)))
    return [expires_at - at for at in world.requests]


@given(
    st.integers(95, 1800).map(lambda seconds: timedelta(seconds=seconds)),
    st.sampled_from([timedelta(minutes=15), timedelta(hours=1)]),
)
def test_one_probe_is_sent_before_expiry_though_asked_to_wait(
    remaining: timedelta, retry_after: timedelta
) -> None:
    first, *others = asyncio.run(probe(remaining, retry_after))
    assert first == remaining.total_seconds()
    # In its last minute, unless the endpoint was asked half a minute before that anyway.
    assert len([one for one in others if one < 90]) == 1
    for earlier, later in pairwise([first, *others[:-1]]):
        assert earlier - later >= retry_after.total_seconds()


async def test_expired_token_does_not_cause_a_probe() -> None:
    world = World(limited(timedelta(minutes=15)))
    for remaining in (NO_TOKEN, NO_TOKEN, -MINUTE):
        wait = await world.ask(remaining=remaining)
        assert wait is not None
        assert timedelta(minutes=5) <= wait <= timedelta(minutes=16.5)
        world.pass_time(timedelta(minutes=5))
    assert len(world.requests) == 1


@pytest.mark.parametrize(
    ("pause", "forgotten"), [(timedelta(minutes=29), False), (timedelta(minutes=36), True)]
)
async def test_client_id_is_forgotten_when_unused_for_long(
    pause: timedelta, *, forgotten: bool
) -> None:
    world = World(limited())
    for _ in range(8):
        wait = await world.ask(remaining=timedelta(hours=24))
        assert wait is not None
        world.pass_time(wait)
    world.pass_time(pause)
    await world.ask(OTHER)
    wait = await world.ask(remaining=timedelta(hours=24))
    assert wait is not None
    assert (wait <= timedelta(seconds=2)) is forgotten
