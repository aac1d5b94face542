import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth_client import TokenClient
from tests.support.token_endpoint import TOKEN_PREFIX, TokenEndpoint

CREDENTIALS = Credentials("client-1", "s3cret-of-client-1")

MakeClient = Callable[..., TokenClient]


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as running:
        yield running


@pytest_asyncio.fixture
async def make_client(endpoint: TokenEndpoint) -> AsyncIterator[MakeClient]:
    made = []

    def make(ca_bundle: Path | None = endpoint.ca_bundle, max_concurrent: int = 4) -> TokenClient:
        client = TokenClient(
            endpoint.url,
            "https://api.pinecone.io/",
            "2025-04",
            ca_bundle,
            max_concurrent,
            lambda: datetime.now(UTC),
            request_timeout=timedelta(seconds=1),
        )
        made.append(client)
        return client

    yield make
    for client in made:
        await client.aclose()


@pytest.mark.parametrize("mode", ["ok", "text-expires", "long-expires"])
async def test_a_token_lives_half_an_hour(
    endpoint: TokenEndpoint, make_client: MakeClient, mode: str
) -> None:
    endpoint.mode = mode
    token = await make_client().exchange(CREDENTIALS)
    assert [token.access_token] == endpoint.tokens
    # A JWT's `exp` is the endpoint's clock, which may be a second further by then.
    assert timedelta(0) <= token.lifetime - timedelta(minutes=30) <= timedelta(seconds=2)


@pytest.mark.parametrize(
    ("mode", "failure", "status", "code"),
    [
        ("down", ExchangeFailure.UNAVAILABLE, None, None),
        ("hang", ExchangeFailure.UNAVAILABLE, None, None),
        ("drip", ExchangeFailure.UNAVAILABLE, None, None),
        ("truncated", ExchangeFailure.UNAVAILABLE, None, None),
        ("503-html", ExchangeFailure.UNAVAILABLE, 503, None),
        ("500-access-denied", ExchangeFailure.UNAVAILABLE, 500, "access_denied"),
        ("429", ExchangeFailure.THROTTLED, 429, None),
        ("429-retry-after", ExchangeFailure.THROTTLED, 429, None),
        ("400", ExchangeFailure.REJECTED, 400, "invalid_request"),
        ("401", ExchangeFailure.REJECTED, 401, "access_denied"),
        ("403", ExchangeFailure.REJECTED, 403, "unauthorized_client"),
        ("404", ExchangeFailure.INVALID, 404, None),
        ("redirect", ExchangeFailure.INVALID, 307, None),
        ("no-expires-in", ExchangeFailure.INVALID, 200, None),
        ("negative", ExchangeFailure.INVALID, 200, None),
        ("bad-token-type", ExchangeFailure.INVALID, 200, None),
        ("huge", ExchangeFailure.INVALID, 200, None),
    ],
)
async def test_each_failure_has_its_class_and_the_next_exchange_works(
    endpoint: TokenEndpoint,
    make_client: MakeClient,
    mode: str,
    failure: ExchangeFailure,
    status: int | None,
    code: str | None,
) -> None:
    client = make_client()
    await client.exchange(CREDENTIALS)
    endpoint.mode = mode
    started = time.monotonic()
    with pytest.raises(ExchangeError) as caught:
        await client.exchange(CREDENTIALS)
    assert time.monotonic() - started < 3
    error = caught.value
    assert (error.failure, error.http_status, error.oauth_error) == (failure, status, code)
    assert error.retry_after == (timedelta(seconds=7) if mode == "429-retry-after" else None)
    chain: BaseException | None = error
    while chain is not None:
        shown = f"{chain} {chain!r}"
        assert CREDENTIALS.client_secret not in shown
        assert TOKEN_PREFIX not in shown
        chain = chain.__cause__
    requests = len(endpoint.requests)
    assert requests == (1 if mode == "down" else 2), "one request an exchange"
    endpoint.mode = "ok"
    await client.exchange(CREDENTIALS)


async def test_wrong_credentials_are_rejected(
    endpoint: TokenEndpoint, make_client: MakeClient
) -> None:
    endpoint.credentials = {"client-1": "another"}
    with pytest.raises(ExchangeError) as caught:
        await make_client().exchange(CREDENTIALS)
    assert caught.value.failure is ExchangeFailure.REJECTED


@pytest.mark.usefixtures("endpoint")
async def test_a_certificate_of_an_unknown_authority_is_refused(make_client: MakeClient) -> None:
    with pytest.raises(ExchangeError, match="certificate") as caught:
        await make_client(None).exchange(CREDENTIALS)
    assert caught.value.failure is ExchangeFailure.UNAVAILABLE


async def test_no_more_requests_at_once_than_allowed(
    endpoint: TokenEndpoint, make_client: MakeClient
) -> None:
    endpoint.latency = 0.2
    client = make_client(max_concurrent=10)
    started = time.monotonic()
    tokens = await asyncio.gather(*(client.exchange(CREDENTIALS) for _ in range(30)))
    assert time.monotonic() - started >= 0.6
    assert len({token.access_token for token in tokens}) == endpoint.exchanges == 30
