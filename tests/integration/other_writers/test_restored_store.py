"""The API server's store is restored from a snapshot, so that versions and Secrets are older ones.

Right is: what is there now is what counts, and no target keeps a token that was replaced before.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Kube, eventually
from tests.support.cluster import Cluster
from tests.support.crd import cluster_with_crd
from tests.support.documented import REFRESH_REQUESTED_AT
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_with_crd(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def kube(cluster: Cluster) -> Iterator[Kube]:
    with Kube(cluster) as client:
        yield client


def test_restored_store_leaves_no_old_token_in_a_target(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
    tmp_path: Path,
) -> None:
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")
    first = endpoint.tokens[0]

    def token() -> str:
        return (kube.secret(namespace, "search") or {})["access_token"]

    cluster.back_up_store(tmp_path / "backup")
    time.sleep(1.1)  # times are in whole seconds: the next token is a later one
    annotations = {REFRESH_REQUESTED_AT: "now"}
    kube.patch_token(namespace, "search", {"metadata": {"annotations": annotations}})
    eventually(lambda: token() == endpoint.tokens[-1] != first, "it is refreshed", timeout=30)
    # Versions go further back than by what the operator wrote.
    for number in range(20):
        kube.create_secret(namespace, f"other-{number}", {"key": "x"})

    cluster.restore_store(tmp_path / "backup")

    # Neither a refresh nor a resync is due for minutes.
    eventually(lambda: token() == endpoint.tokens[-1] != first, "it is replaced", timeout=60)
    kube.until(namespace, "Ready", "TokenValid")
    assert endpoint.exchanges == 3
    kube.create_token(namespace, "later")
    kube.until(namespace, "Ready", "TokenValid", "later", timeout=60)
