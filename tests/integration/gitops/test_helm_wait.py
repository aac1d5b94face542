"""Helm 4 waits for a resource by the rules of kstatus, with the library that Flux uses, too."""

import json
import time
from pathlib import Path

import pytest

from tests.support.api import CLIENT_ID, CLIENT_SECRET, Kube
from tests.support.chart import helm
from tests.support.cluster import Cluster
from tests.support.documented import GROUP, KIND, VERSION
from tests.support.encoding import encode
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs("helm")

TIMEOUT = 120  # seconds; nothing that works takes nearly as long


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """Return a chart with credentials and a resource, as an application's chart has them."""
    chart = tmp_path / "application"
    (chart / "templates").mkdir(parents=True)
    metadata = {"apiVersion": "v2", "name": "application", "version": "0.1.0"}
    (chart / "Chart.yaml").write_text(json.dumps(metadata), "utf-8")
    objects = {
        "credentials": {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "account"},
            "data": {"client_id": encode(CLIENT_ID), "client_secret": encode(CLIENT_SECRET)},
        },
        "resource": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": "search"},
            "spec": {"credentialsSecretRef": {"name": "account"}},
        },
    }
    for name, obj in objects.items():
        (chart / "templates" / f"{name}.yaml").write_text(json.dumps(obj), "utf-8")
    return chart


def install(cluster: Cluster, chart: Path, namespace: str) -> tuple[str, float]:
    """Install a chart and wait for its objects; return what helm complained of, and seconds."""
    begun = time.monotonic()
    answer = helm(
        *("install", "application", str(chart), "--namespace", namespace, "--wait"),
        *("--timeout", f"{TIMEOUT}s", "--kubeconfig", str(cluster.kubeconfig)),
    )
    assert (answer.returncode != 0) == bool(answer.stderr), answer.stderr
    return answer.stderr, time.monotonic() - begun


def test_helm_waits_until_the_resource_is_ready(
    cluster: Cluster, kube: Kube, namespace: str, application: Path, start_operator: StartOperator
) -> None:
    kube.client_secrets.append(CLIENT_SECRET)
    start_operator()

    problem, _ = install(cluster, application, namespace)

    assert problem == ""
    assert kube.reason(namespace, "search", "Ready") == "TokenValid"


def test_helm_fails_at_once_when_credentials_are_rejected(
    cluster: Cluster,
    kube: Kube,
    namespace: str,
    endpoint: TokenEndpoint,
    application: Path,
    start_operator: StartOperator,
) -> None:
    kube.client_secrets.append(CLIENT_SECRET)
    endpoint.mode = "401"
    start_operator()

    problem, seconds = install(cluster, application, namespace)

    assert "search" in problem
    assert seconds < TIMEOUT / 2
    assert kube.reason(namespace, "search", "Stalled") == "Rejected"
