import asyncio
import contextlib
import gzip
import json
import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.issuing.oauth_client import REQUEST_TIMEOUT
from tests.integration.issuing.conftest import MakeClient
from tests.support.certificates import make_certificates
from tests.support.token_endpoint import TOKEN_PREFIX, TokenEndpoint

CREDENTIALS = Credentials("client-1", "s3cret-of-client-1")
Compress = Callable[[bytes], bytes]

REPLY = {"access_token": f"{TOKEN_PREFIX}x", "expires_in": 1800, "token_type": "Bearer"}


@pytest.mark.parametrize("mode", ["ok", "text-expires", "long-expires"])
async def test_token_is_valid_for_half_an_hour(
    token_endpoint: TokenEndpoint, make_client: MakeClient, mode: str
) -> None:
    token_endpoint.mode = mode
    token = await make_client().issue(CREDENTIALS)
    assert [token.access_token] == token_endpoint.tokens
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
async def test_failure_has_its_class_and_the_next_exchange_works(
    token_endpoint: TokenEndpoint,
    make_client: MakeClient,
    mode: str,
    failure: ExchangeFailure,
    status: int | None,
    code: str | None,
) -> None:
    # Only over a connection that exists may the time run out: httpcore drops one unclosed that is
    # cancelled amid its TLS handshake.
    client = make_client(timeout=3.0) if mode in {"hang", "drip"} else make_client()
    await client.issue(CREDENTIALS)
    token_endpoint.mode = mode
    started = time.monotonic()
    with pytest.raises(ExchangeError) as caught:
        await client.issue(CREDENTIALS)
    assert time.monotonic() - started < REQUEST_TIMEOUT.total_seconds()
    error = caught.value
    assert (error.failure, error.http_status, error.oauth_error) == (failure, status, code)
    assert error.retry_after == (timedelta(seconds=7) if mode == "429-retry-after" else None)
    chain: BaseException | None = error
    while chain is not None:
        shown = f"{chain} {chain!r}"
        assert CREDENTIALS.client_secret not in shown
        assert TOKEN_PREFIX not in shown
        chain = chain.__cause__
    requests = len(token_endpoint.requests)
    assert requests == (1 if mode == "down" else 2), "one request per exchange"
    token_endpoint.mode = "ok"
    await client.issue(CREDENTIALS)


async def test_wrong_credentials_are_rejected(
    token_endpoint: TokenEndpoint, make_client: MakeClient
) -> None:
    token_endpoint.credentials = {"client-1": "another"}
    with pytest.raises(ExchangeError) as caught:
        await make_client().issue(CREDENTIALS)
    assert caught.value.failure is ExchangeFailure.REJECTED


async def test_client_works_after_interrupted_exchanges(
    certificates: Path, make_client: MakeClient
) -> None:
    # Without TLS, because httpcore does not close what is cut during a handshake.
    with TokenEndpoint(latency=0.002, tls=False, directory=certificates) as plain:
        client = make_client(max_concurrent=1, timeout=5.0, token_url=plain.url)
        rng = random.Random(7)
        started = time.monotonic()
        for _ in range(20):
            await client.issue(CREDENTIALS)
        usual = (time.monotonic() - started) / 20
        for _ in range(800):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.uniform(0, 2 * usual)):
                    await client.issue(CREDENTIALS)
        # A cut while a reply is being closed leaves a connection busy in its pool forever.
        for _ in range(4):
            await client.issue(CREDENTIALS)
        await client.aclose()


async def test_idle_connection_is_reused(
    token_endpoint: TokenEndpoint, make_client: MakeClient
) -> None:
    client = make_client(max_concurrent=8)
    for _ in range(5):
        await client.issue(CREDENTIALS)
    assert token_endpoint.connections == 1


async def test_connections_of_a_burst_are_closed_once_idle(
    token_endpoint: TokenEndpoint, make_client: MakeClient
) -> None:
    token_endpoint.latency = 0.1
    client = make_client(max_concurrent=8, idle_timeout=timedelta(seconds=0.2))
    await asyncio.gather(*(client.issue(CREDENTIALS) for _ in range(8)))
    assert token_endpoint.connections > 1
    while token_endpoint.open_connections:  # noqa: ASYNC110 - another thread closes them
        await asyncio.sleep(0.01)
    await client.issue(CREDENTIALS)


@pytest.mark.parametrize(
    ("encoding", "compress", "accepted"),
    [
        ("gzip", gzip.compress, True),
        ("br", lambda content: b"\x1b" + content, False),
        ("gzip", lambda content: content, False),
    ],
    ids=["gzip", "unknown encoding", "not gzip"],
)
async def test_compressed_reply_is_read_or_named(
    token_endpoint: TokenEndpoint,
    make_client: MakeClient,
    encoding: str,
    compress: Compress,
    *,
    accepted: bool,
) -> None:
    content = compress(json.dumps(REPLY).encode())
    token_endpoint.reply = lambda _: (200, {"Content-Encoding": encoding}, content)
    if accepted:
        token = await make_client().issue(CREDENTIALS)
        assert token.access_token == REPLY["access_token"]
        return
    with pytest.raises(ExchangeError, match="unsupported Content-Encoding"):
        await make_client().issue(CREDENTIALS)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ({"ca_bundle": None}, "the certificate of the token endpoint is signed by an unknown CA"),
        ({"token_url": "https://127.0.0.2:{port}/oauth/token"}, "is for another IP address"),
        ({"token_url": "https://localhost.invalid/"}, "the token endpoint could not be resolved"),
    ],
    ids=["unknown CA", "other address", "unknown host"],
)
async def test_connection_problem_is_explained(
    certificates: Path, make_client: MakeClient, place: dict[str, str], problem: str
) -> None:
    with TokenEndpoint(directory=certificates, host="0.0.0.0") as everywhere:
        port = everywhere.url.split(":")[2].split("/")[0]
        place = {"token_url": everywhere.url.replace("0.0.0.0", "127.0.0.1")} | place
        place["token_url"] = place["token_url"].format(port=port)
        with pytest.raises(ExchangeError, match=problem) as caught:
            await make_client(**place).issue(CREDENTIALS)
    assert caught.value.failure is ExchangeFailure.UNAVAILABLE


async def test_expired_certificate_is_explained(
    token_endpoint: TokenEndpoint, make_client: MakeClient
) -> None:
    token_endpoint.mode = "expired-certificate"
    with pytest.raises(ExchangeError, match="certificate of the token endpoint has expired"):
        await make_client().issue(CREDENTIALS)


async def test_ca_bundle_is_reloaded_when_it_changes(
    token_endpoint: TokenEndpoint, make_client: MakeClient, tmp_path: Path
) -> None:
    make_certificates(tmp_path / "other")
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes((tmp_path / "other" / "ca.pem").read_bytes())
    client = make_client(ca_bundle=bundle)
    with pytest.raises(ExchangeError, match="unknown CA"):
        await client.issue(CREDENTIALS)

    bundle.write_bytes(token_endpoint.ca_bundle.read_bytes())
    await client.issue(CREDENTIALS)

    # Neither an invalid nor a missing bundle replaces the certificates.
    bundle.write_text("half of a ")
    await client.issue(CREDENTIALS)
    bundle.unlink()
    await client.issue(CREDENTIALS)

    bundle.write_bytes((tmp_path / "other" / "ca.pem").read_bytes())
    with pytest.raises(ExchangeError, match="unknown CA"):
        await client.issue(CREDENTIALS)


async def test_requests_are_limited_to_the_maximum(
    token_endpoint: TokenEndpoint, make_client: MakeClient
) -> None:
    token_endpoint.latency = 0.2
    client = make_client(max_concurrent=10)
    started = time.monotonic()
    tokens = await asyncio.gather(*(client.issue(CREDENTIALS) for _ in range(30)))
    assert time.monotonic() - started >= 0.6
    assert len({token.access_token for token in tokens}) == token_endpoint.exchanges == 30
