"""The way to the token endpoint through real proxies on loopback."""

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinecone_token_operator.config.proxies import read
from pinecone_token_operator.errors import ExchangeError, ExchangeFailure
from pinecone_token_operator.issuing.credentials import Credentials
from tests.integration.issuing.conftest import MakeClient
from tests.support.corporate_ca import make_corporate_certificates
from tests.support.http_proxy import HttpProxy
from tests.support.token_endpoint import TokenEndpoint

CREDENTIALS = Credentials("client-1", "s3cret-of-client-1")
PASSWORD = "p@ss/w#rd"
ENCODED = "p%40ss%2Fw%23rd"


@pytest.fixture(params=["http", "https"])
def proxy(request: pytest.FixtureRequest, certificates: Path) -> Iterator[HttpProxy]:
    over_tls = certificates if request.param == "https" else None
    with HttpProxy(over_tls, credentials=("me", PASSWORD)) as running:
        yield running


def with_credentials(proxy: HttpProxy, password: str = ENCODED) -> str:
    return proxy.url.replace("://", f"://me:{password}@")


def subject_hash(pem: bytes) -> str:
    command = ["openssl", "x509", "-subject_hash", "-noout"]
    done = subprocess.run(command, input=pem, capture_output=True, check=True)
    return done.stdout.decode().strip()


def target(endpoint: TokenEndpoint) -> str:
    return endpoint.url.split("/")[2]


async def test_exchange_goes_through_an_http_or_https_proxy(
    token_endpoint: TokenEndpoint, make_client: MakeClient, proxy: HttpProxy
) -> None:
    proxies = read({"HTTPS_PROXY": with_credentials(proxy)})
    client = make_client(proxy=proxies.for_endpoint(token_endpoint.url))
    for _ in range(3):
        await client.issue(CREDENTIALS)
    assert proxy.targets == [target(token_endpoint)], "one tunnel, used again"


async def test_host_in_no_proxy_is_reached_directly(
    token_endpoint: TokenEndpoint, make_client: MakeClient, proxy: HttpProxy
) -> None:
    proxies = read({"HTTPS_PROXY": proxy.url, "NO_PROXY": "fd00::/8,127.0.0.0/8"})
    await make_client(proxy=proxies.for_endpoint(token_endpoint.url)).issue(CREDENTIALS)
    assert proxy.targets == []


@pytest.mark.parametrize(
    ("refusal", "summary"),
    [
        ("403 Forbidden by me", "the proxy did not connect to the token endpoint (HTTP 403)"),
        ("502 Bad Gateway", "the proxy did not connect to the token endpoint (HTTP 502)"),
        (
            "407 Proxy Authentication Required",
            "the proxy rejected the user name and password of the operator's proxy URL (HTTP 407)",
        ),
    ],
)
async def test_proxy_refusal_is_explained_and_overcome(
    token_endpoint: TokenEndpoint,
    make_client: MakeClient,
    proxy: HttpProxy,
    refusal: str,
    summary: str,
) -> None:
    chosen = read({"HTTPS_PROXY": with_credentials(proxy)}).for_endpoint(token_endpoint.url)
    client = make_client(max_concurrent=1, proxy=chosen)
    proxy.refusal = refusal
    for _ in range(3):
        with pytest.raises(ExchangeError) as caught:
            await client.issue(CREDENTIALS)
        assert str(caught.value) == summary
        assert caught.value.failure is ExchangeFailure.UNAVAILABLE
    proxy.refusal = ""
    await client.issue(CREDENTIALS)


async def test_wrong_proxy_password_is_not_repeated(
    token_endpoint: TokenEndpoint, make_client: MakeClient, proxy: HttpProxy
) -> None:
    chosen = read({"HTTPS_PROXY": with_credentials(proxy, "hunter2")})
    client = make_client(proxy=chosen.for_endpoint(token_endpoint.url))
    with pytest.raises(ExchangeError, match="rejected the user name and password") as caught:
        await client.issue(CREDENTIALS)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__
    assert token_endpoint.requests == []


async def test_unreachable_proxy_is_named(
    token_endpoint: TokenEndpoint, make_client: MakeClient, unused_tcp_port: int
) -> None:
    chosen = read({"HTTPS_PROXY": f"http://127.0.0.1:{unused_tcp_port}"})
    client = make_client(proxy=chosen.for_endpoint(token_endpoint.url))
    with pytest.raises(ExchangeError, match="could not connect to the proxy"):
        await client.issue(CREDENTIALS)


async def test_https_proxy_with_an_unknown_ca_is_named(
    token_endpoint: TokenEndpoint, make_client: MakeClient, tmp_path: Path
) -> None:
    with HttpProxy(tmp_path) as proxy:  # with a CA of its own
        chosen = read({"HTTPS_PROXY": proxy.url}).for_endpoint(token_endpoint.url)
        with pytest.raises(ExchangeError, match="certificate of the proxy or the token endpoint"):
            await make_client(proxy=chosen).issue(CREDENTIALS)

        both = tmp_path / "both.pem"
        pems = [path.read_text() for path in (tmp_path / "ca.pem", token_endpoint.ca_bundle)]
        both.write_text("".join(pems))
        await make_client(proxy=chosen, ca_bundle=both).issue(CREDENTIALS)


async def test_client_secret_never_goes_to_a_proxy_in_plain_text(
    certificates: Path, make_client: MakeClient
) -> None:
    with (
        TokenEndpoint(tls=False, directory=certificates) as plain,
        HttpProxy() as proxy,
    ):
        environ = {"HTTP_PROXY": proxy.url, "ALL_PROXY": proxy.url}
        chosen = read(environ).for_endpoint(plain.url)
        await make_client(token_url=plain.url, proxy=chosen).issue(CREDENTIALS)
        assert proxy.targets == []


@pytest.mark.parametrize("trusted", ["root", "intermediate"])
async def test_corporate_certificates_in_the_bundle_are_accepted(
    make_client: MakeClient, tmp_path: Path, trusted: str
) -> None:
    make_corporate_certificates(tmp_path)
    bundle = tmp_path / f"{trusted}.pem"
    with TokenEndpoint(directory=tmp_path) as endpoint:
        # The default of Python 3.13 and later.
        strict = ssl.create_default_context(cafile=bundle)
        strict.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        host, port = target(endpoint).split(":")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(host, int(port), ssl=strict)

        client = make_client(token_url=endpoint.url, ca_bundle=bundle)
        await client.issue(CREDENTIALS)


async def test_ca_directory_is_trusted(
    token_endpoint: TokenEndpoint, make_client: MakeClient, tmp_path: Path
) -> None:
    pem = token_endpoint.ca_bundle.read_bytes()
    (tmp_path / f"{subject_hash(pem)}.0").write_bytes(pem)
    await make_client(ca_bundle=None, ca_directory=str(tmp_path)).issue(CREDENTIALS)
