"""The operator as a process: how it starts, stops, and survives outages."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.api import Kube, eventually, secret_path
from tests.support.cluster import Cluster
from tests.support.crd import install_crd
from tests.support.operator_process import Operator, StartOperator
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs(*Cluster.PROGRAMS)


def test_probes_and_metrics_reflect_the_operator(
    kube: Kube, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    operator = start_operator(forked=False)
    assert operator.get("/livez") == (200, "ok\n")
    assert operator.get("/readyz") == (200, "ok\n")
    kube.create_token(namespace)
    eventually(
        lambda: operator.metric("pinecone_token_exchanges_total", result="success") == 1,
        "an exchange is counted",
    )
    eventually(
        lambda: (
            operator.metric(
                "pinecone_token_expiry_timestamp_seconds", namespace=namespace, name="search"
            )
            > time.time() + 1700
        ),
        "the expiry is shown",
    )
    assert operator.metric("pinecone_token_refresh_timestamp_seconds") > time.time()
    assert operator.metric("pinecone_token_last_refresh_timestamp_seconds") <= time.time()
    # Counted after the status is written, which the other metrics do not wait for.
    eventually(
        lambda: operator.metric("pinecone_token_reconciles_total") >= 1, "a reconcile is counted"
    )


def test_sigterm_completes_the_exchange_in_progress(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.latency = 2.0
    kube.create_credentials(namespace)
    operator = start_operator(forked=False)
    kube.create_token(namespace)
    eventually(lambda: endpoint.requests, "an exchange is in progress")

    assert operator.stop() == 0

    assert (kube.secret(namespace, "search") or {})["access_token"] == endpoint.tokens[-1]
    assert endpoint.exchanges == 1


def test_sigterm_exits_in_time_when_the_endpoint_hangs(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.mode = "hang"
    kube.create_credentials(namespace)
    operator = start_operator(forked=False)
    kube.create_token(namespace)
    eventually(lambda: endpoint.requests, "an exchange is in progress")

    assert operator.stop() == 0


def test_operator_resumes_after_sigkill(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    kube.create_credentials(namespace)
    operator = start_operator(forked=False)
    kube.create_token(namespace)
    eventually(lambda: kube.condition(namespace, "search", "Refreshed"), "a first token")
    operator.kill()
    operator.start()
    operator.wait_ready()

    kube.delete(secret_path(namespace, "search"))
    eventually(lambda: endpoint.exchanges == 2, "the deletion is repaired")


def test_unusable_setting_exits_with_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pinecone_token_operator", "run"]
    environ = {"HOME": str(tmp_path), "PATH": ""}
    for options, code, words in (
        (["--token-url", "http://example.com/"], 2, "--token-url"),
        (["--kubeconfig", str(tmp_path / "absent")], 2, "--kubeconfig"),
        ([], 3, "kubeconfig"),
    ):
        done = subprocess.run(
            [*command, *options], check=False, capture_output=True, text=True, env=environ
        )
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_operator_recovers_after_an_api_server_restart(
    tmp_path: Path, endpoint: TokenEndpoint
) -> None:
    with Cluster(tmp_path / "cluster") as cluster, Kube(cluster) as kube:
        operator = Operator(
            cluster.kubeconfig, endpoint.url, endpoint.ca_bundle, tmp_path / "operator"
        )
        with operator:
            # Before the CRD is installed.
            operator.wait_ready()
            install_crd(cluster)
            kube.create_credentials("default")
            eventually(lambda: _created(kube), "the resource can be created")
            eventually(lambda: kube.secret("default", "search"), "a first token", 20)

            cluster.kill_apiserver()
            cluster.start_apiserver()

            with Kube(cluster) as kube_again:
                kube_again.delete(secret_path("default", "search"))
                eventually(lambda: kube_again.secret("default", "search"), "the Secret is back", 60)
            assert operator.stop() == 0


def _created(kube: Kube) -> bool:
    return bool(kube.create_token("default"))
