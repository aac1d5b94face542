"""The chart works in IPv6-only and dual-stack clusters: real API servers and an operator process.

The operator finds the API server as in a pod: by the address of the Service `kubernetes`.
"""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.api import Kube, eventually
from tests.support.chart import install_rights, objects, of_kind, service_account_token
from tests.support.cluster import Cluster
from tests.support.crd import install_crd
from tests.support.in_pod import ServiceAccount, lacks_namespaces
from tests.support.leaks import find_leaks
from tests.support.token_endpoint import TokenEndpoint

NAME = "operator"
IPV4, IPV6 = "10.0.0.0/24", "fd00:10::/112"


def lacks_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return True
    return False


pytestmark = [
    pytest.mark.programs("helm", *Cluster.PROGRAMS),
    pytest.mark.skipif(lacks_ipv6(), reason="this machine has no IPv6 loopback address"),
]


@contextmanager
def running_cluster(directory: Path, address: str, services: str) -> Iterator[Cluster]:
    flags = {"service-cluster-ip-range": services}
    with Cluster(directory, audit=False, flags=flags, address=address) as cluster:
        yield cluster


@contextmanager
def pod(
    cluster: Cluster, endpoint: TokenEndpoint, namespace: str, directory: Path
) -> Iterator[Path]:
    """Run the operator with the chart's default values as in a pod, and yield its log."""
    account = ServiceAccount(
        cluster.url,
        cluster.ca_file,
        service_account_token(cluster, namespace, NAME),
        namespace,
        directory / "serviceaccount",
    )
    rendered = objects("--namespace", namespace, "--set", f"fullnameOverride={NAME}")
    (deployment,) = [each for each in rendered if each["kind"] == "Deployment"]
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    # The endpoint's address and trust, and a free port of all addresses, as by default.
    arguments = [one for one in arguments if not one.startswith("--token-url")]
    arguments = [re.sub(r"^(--health-address=):8080$", r"\1:0", one) for one in arguments]
    arguments += [f"--token-url={endpoint.url}", f"--ca-bundle={endpoint.ca_bundle}"]
    log = directory / "operator.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*account.command, sys.executable, "-m", "pinecone_token_operator", *arguments],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(directory),
                **account.environ,
            },
            cwd=directory,
            stdout=output,
            stderr=output,
        )
    try:
        yield log
        process.terminate()
        assert process.wait(20) == 0, log.read_text("utf-8")
    finally:
        process.kill()
        process.wait()


def port_of(log: Path) -> int | None:
    found = re.search(r"Serving probes and metrics on \S+:(\d+)", log.read_text("utf-8"))
    return int(found[1]) if found else None


def answers(port: int | None, host: str, path: str) -> bool:
    try:
        return httpx.get(f"http://{host}:{port}{path}", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(lacks_namespaces(), reason="this user may not create namespaces")
def test_operator_works_in_an_ipv6_only_cluster(tmp_path: Path) -> None:
    endpoint = TokenEndpoint(host="::1", directory=tmp_path / "endpoint")
    with (
        endpoint,
        running_cluster(tmp_path / "cluster", "::1", IPV6) as cluster,
        Kube(cluster) as kube,
    ):
        install_crd(cluster)
        install_rights(cluster, "default", NAME)
        kube.create_credentials("default")
        kube.create_token("default")
        with pod(cluster, endpoint, "default", tmp_path) as log:
            eventually(lambda: port_of(log), "it listens")
            for host in ("[::1]", "127.0.0.1"):
                for path in ("/readyz", "/livez", "/metrics"):
                    eventually(
                        lambda host=host, path=path: answers(port_of(log), host, path),  # type: ignore[misc]
                        f"{path} answers on {host}",
                    )
            kube.until("default", "Ready", "TokenValid")
        text = {"the log": log.read_text("utf-8")}
        assert find_leaks(text, [*kube.client_secrets, *endpoint.tokens]) == []


@pytest.mark.parametrize(
    ("services", "options", "families"),
    [
        pytest.param(IPV6, "", ["IPv6"], id="IPv6 only, default values"),
        pytest.param(f"{IPV6},{IPV4}", "", ["IPv6"], id="dual-stack, default values"),
        pytest.param(
            f"{IPV4},{IPV6}", "PreferDualStack", ["IPv4", "IPv6"], id="dual-stack, both preferred"
        ),
    ],
)
def test_service_gets_ip_families_of_the_cluster(
    services: str, options: str, families: list[str], tmp_path: Path
) -> None:
    values = f"metrics.service.ipFamilyPolicy={options},networkPolicy.enabled=true"
    peers = json.dumps([{"ipBlock": {"cidr": cidr}} for cidr in ("0.0.0.0/0", "::/0")])
    found = objects(
        *("--namespace", "default", "--set", values),
        *("--set-json", f"networkPolicy.apiServer.to={peers}"),
        *("--set-json", f"networkPolicy.metrics.from={peers}"),
    )
    wanted = [of_kind(found, "Service"), of_kind(found, "NetworkPolicy")]
    address = "::1" if services.startswith(IPV6) else "127.0.0.1"
    with running_cluster(tmp_path, address, services) as cluster:
        applied = yaml.safe_dump_all(wanted)
        cluster.kubectl("apply", "--validate=strict", "-f", "-", input=applied)

        service, policy = (
            json.loads(cluster.kubectl("get", kind, "-o", "json"))["items"][-1]
            for kind in ("services", "networkpolicies")
        )

    assert service["spec"]["ipFamilies"] == families
    assert policy["spec"]["egress"][1]["to"] == json.loads(peers)


def test_network_policy_allows_both_families_by_default() -> None:
    policy = of_kind(objects("--set", "networkPolicy.enabled=true"), "NetworkPolicy")

    # Without peers a rule matches all addresses, of both families.
    assert [rule.keys() for rule in policy["spec"]["egress"]] == [{"ports"}] * 3
    assert [rule.keys() for rule in policy["spec"]["ingress"]] == [{"ports"}]
