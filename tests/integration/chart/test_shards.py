"""The chart's shards on the real API server, each with the chart's own permissions."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Kube, eventually
from tests.support.chart import install_rights, objects, service_account_token
from tests.support.cluster import Cluster
from tests.support.kubeconfig import write_kubeconfig
from tests.support.operator_process import Operator
from tests.support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.programs("helm")

NAMES = [f"token-{number}" for number in range(8)]
# What a test passes to the operator itself.
PASSED = "--(token-url|ca-bundle|namespace|health-address|log-format)="


class Release:
    """A release of the chart: its permissions, and for each Deployment an operator process."""

    def __init__(
        self, cluster: Cluster, endpoint: TokenEndpoint, namespace: str, directory: Path
    ) -> None:
        self._cluster = cluster
        self._endpoint = endpoint
        self._namespace = namespace
        self._directory = directory
        self._stack = ExitStack()
        self._count = 0

    def close(self) -> None:
        self._stack.close()

    def scale(self, shards: int) -> list[Operator]:
        """Apply the permissions for so many shards and start their operators."""
        options = ["--set", f"shards={shards},watchNamespaces={{{self._namespace}}}"]
        install_rights(self._cluster, self._namespace, "operator", options)
        token = service_account_token(self._cluster, self._namespace, "operator")
        kubeconfig = write_kubeconfig(
            self._directory / "kubeconfig",
            self._cluster.url,
            self._cluster.ca_file,
            {"token": token},
        )
        rendered = objects(
            *("--namespace", self._namespace, "--set", "fullnameOverride=operator"), *options
        )
        operators = []
        for arguments in arguments_of_deployments(rendered):
            self._count += 1
            operator = Operator(
                kubeconfig,
                self._endpoint.url,
                self._endpoint.ca_bundle,
                self._directory / f"operator-{self._count}",
                namespaces=[self._namespace],
                options=[one for one in arguments if not re.match(PASSED, one)],
                forked=True,
            )
            operators.append(self._stack.enter_context(operator))
        return operators


def arguments_of_deployments(found: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield the arguments of each Deployment's operator, without the command."""
    for each in found:
        if each["kind"] == "Deployment":
            yield each["spec"]["template"]["spec"]["containers"][0]["args"][1:]


def is_leader(operator: Operator, shard: int) -> bool:
    return operator.metric("pinecone_token_leader", shard=str(shard)) == 1


def served(operator: Operator) -> set[str]:
    metric = "pinecone_token_expiry_timestamp_seconds"
    return {name for name in NAMES if operator.metric(metric, name=name) > 0}


@pytest.fixture
def release(
    cluster: Cluster, endpoint: TokenEndpoint, namespace: str, tmp_path: Path
) -> Iterator[Release]:
    running = Release(cluster, endpoint, namespace, tmp_path)
    yield running
    running.close()


def test_shards_grow_and_shrink_without_an_exchange(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, release: Release
) -> None:
    kube.create_credentials(namespace)
    running = release.scale(1)
    running[0].wait_ready()
    for name in NAMES:
        kube.create_token(namespace, name)
    eventually(lambda: served(running[0]) == set(NAMES), "one shard serves all")

    for count in (3, 2, 1):
        before = running
        running = release.scale(count)  # while the former are still running, as in an upgrade
        for operator in before:
            # With 4 if it has just lost its Lease, which is no longer in the Role.
            assert operator.stop() in {0, 4}
        for shard, operator in enumerate(running):
            operator.wait_ready()
            eventually(
                lambda one=operator, index=shard: is_leader(one, index),  # type: ignore[misc]
                "the shard has a leader",
            )
        eventually(
            lambda now=running: set().union(*map(served, now)) == set(NAMES),  # type: ignore[misc]
            f"{count} shards serve all",
        )
        assert sum(len(served(operator)) for operator in running) == len(NAMES)
        assert [operator.errors() for operator in running] == [[]] * count

    assert endpoint.exchanges == len(NAMES)
