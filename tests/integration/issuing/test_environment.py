"""The operator as a process, with the proxies of its environment and of its kubeconfig."""

import json
from pathlib import Path

import pytest

from tests.support.api import Kube, eventually
from tests.support.cluster import Cluster
from tests.support.http_proxy import HttpProxy
from tests.support.leaks import find_leaks
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

PASSWORD = "hunter2-of-the-proxy"


def test_operator_uses_the_proxy_of_its_environment(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    with HttpProxy(credentials=("me", PASSWORD)) as proxy:
        url = proxy.url.replace("://", f"://me:{PASSWORD}@")
        operator = start_operator(environ={"HTTPS_PROXY": url, "NO_PROXY": "fd00::/8,[::1]"})
        kube.create_token(namespace)
        kube.until(namespace, "Ready", "TokenValid")
        assert proxy.targets == [endpoint.url.split("/")[2]]

        proxy.refusal = f"407 {PASSWORD}"
        proxy.cut()
        kube.create_token(namespace, "other")
        kube.until(namespace, "Refreshed", "Unavailable", "other")
    message = (kube.condition(namespace, "other", "Refreshed") or {})["message"]
    assert "the proxy rejected the user name and password" in message
    texts = {"log": operator.log.read_text(), "status": json.dumps(kube.token(namespace, "other"))}
    assert not find_leaks(texts, [PASSWORD])


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("NO_PROXY", "fd00::/8"),
        ("no_proxy", "[::1],10.0.0.0/8,127.0.0.0/8"),
        ("SSL_CERT_DIR", "/nowhere"),
    ],
)
def test_operator_ignores_harmless_variables(
    kube: Kube, namespace: str, start_operator: StartOperator, variable: str, text: str
) -> None:
    kube.create_credentials(namespace)
    start_operator(environ={variable: text})
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ALL_PROXY", f"socks5://me:{PASSWORD}@127.0.0.1:1"),
        ("https_proxy", f"http://me:{PASSWORD}#@127.0.0.1:1"),
        ("no_proxy", "fd00::/8,10.0.0.0/99"),
        ("SSLKEYLOGFILE", "/nowhere/keys"),
    ],
)
def test_operator_exits_2_naming_an_unusable_variable(
    start_operator: StartOperator, variable: str, text: str
) -> None:
    operator = start_operator(environ={variable: text}, wait=False)
    assert operator.wait(10) == 2
    (line,) = operator.log.read_text().splitlines()
    assert line.startswith(f"pinecone-token-operator: {variable}: ")
    assert not find_leaks({"log": line}, [PASSWORD])


def test_password_of_the_api_servers_proxy_is_not_logged(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    tmp_path: Path,
) -> None:
    kube.create_credentials(namespace)
    with HttpProxy(credentials=("me", PASSWORD)) as proxy:
        url = proxy.url.replace("://", f"://me:{PASSWORD}@")
        config = json.loads(cluster.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["proxy-url"] = url
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        operator = start_operator(kubeconfig=kubeconfig)
        operator.allow_errors = True
        kube.create_token(namespace)
        kube.until(namespace, "Ready", "TokenValid")

        tunnels = len(proxy.targets)
        proxy.refusal = f"407 {PASSWORD}"
        proxy.cut()
        eventually(lambda: len(proxy.targets) > tunnels + 5, "requests were refused")
        proxy.refusal = ""
        kube.create_token(namespace, "other")
        kube.until(namespace, "Ready", "TokenValid", "other")

        # Someone else answers at the end of the tunnel.
        proxy.routes[proxy.targets[-1]] = endpoint.url.split("/")[2]
        proxy.cut()
        eventually(
            lambda: "certificate" in operator.log.read_text().lower(),
            "the failed connection is logged",
        )
    assert not find_leaks({"log": operator.log.read_text()}, [PASSWORD])
