"""A proxy on the way to the API server that is reached over TLS, with a company's certificate."""

import json
from contextlib import aclosing
from pathlib import Path

import pytest

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.issuing.trust import Trust
from pinecone_token_operator.kube import client
from tests.support.api_proxy import ApiProxy
from tests.support.certificates import make_certificates
from tests.support.cluster import Cluster
from tests.support.http_proxy import HttpProxy

DEFAULT = "/api/v1/namespaces/default"


def through(proxy: HttpProxy, cluster: Cluster, directory: Path) -> Path:
    """Return a kubeconfig that names the proxy: those of the environment are not for loopback."""
    config = json.loads(cluster.kubeconfig.read_text("utf-8"))
    config["clusters"][0]["cluster"]["proxy-url"] = proxy.url
    path = directory / "kubeconfig"
    path.write_text(json.dumps(config), "utf-8")
    return path


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """Return a directory with a CA and the certificate of a proxy."""
    directory = tmp_path / "company"
    directory.mkdir()
    make_certificates(directory)
    return directory


async def test_proxy_over_tls_is_verified_by_the_ca_bundle(
    cluster: Cluster, company: Path, tmp_path: Path
) -> None:
    trust = Trust(company / "ca.pem", None).context
    with HttpProxy(company) as proxy:
        kubeconfig = through(proxy, cluster, tmp_path)
        async with aclosing(await client.connect(kubeconfig, None, proxy_trust=trust)) as api:
            assert (await api.request("GET", DEFAULT))["metadata"]["name"] == "default"
        assert proxy.targets == [cluster.url.removeprefix("https://")]


async def test_proxy_with_an_unknown_certificate_is_refused(
    cluster: Cluster, company: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    make_certificates(tmp_path / "other")
    trust = Trust(tmp_path / "other" / "ca.pem", None).context
    with HttpProxy(company) as proxy:
        kubeconfig = through(proxy, cluster, tmp_path)
        async with aclosing(await client.connect(kubeconfig, None, proxy_trust=trust)) as api:
            with pytest.raises(ApiError, match="ConnectionFailed"):
                await api.request("GET", DEFAULT)
        assert proxy.targets == []


async def test_ca_bundle_does_not_vouch_for_the_api_server(
    cluster: Cluster, company: Path, tmp_path: Path
) -> None:
    """Whoever has a certificate of the company must not pass for the API server."""
    trust = Trust(company / "ca.pem", None).context
    with (
        ApiProxy(cluster.url, cluster.ca_file, company, ["impostor"]) as impostor,
        HttpProxy(company) as proxy,
    ):
        address = cluster.url.removeprefix("https://")
        proxy.routes[address] = impostor.lines["impostor"].url.removeprefix("https://")
        kubeconfig = through(proxy, cluster, tmp_path)
        async with aclosing(await client.connect(kubeconfig, None, proxy_trust=trust)) as api:
            with pytest.raises(ApiError, match="ConnectionFailed"):
                await api.request("GET", DEFAULT)
        assert proxy.targets == [address]
