"""The kind in the shared cluster, and a fleet of namespaces for each test."""

from collections.abc import Callable, Iterator

import pytest

from tests.integration.conftest import EVERYWHERE
from tests.support.api import Kube
from tests.support.cluster import Cluster
from tests.support.documented import CLUSTER_PLURAL
from tests.support.fleet import Fleet
from tests.support.operator_process import Operator, StartOperator
from tests.support.repository import CLUSTER_CRD

StartFleetOperator = Callable[..., Operator]


@pytest.fixture(scope="session")
def cluster_kind(cluster: Cluster) -> None:
    """Install the kind."""
    cluster.kubectl("apply", "--server-side", "-f", str(CLUSTER_CRD))
    established = ("--for=condition=Established", "--timeout=30s")
    cluster.kubectl("wait", *established, "-f", str(CLUSTER_CRD))
    cluster.kubectl("get", CLUSTER_PLURAL)


@pytest.fixture
def fleet(cluster_kind: None, kube: Kube, namespace: str) -> Iterator[Fleet]:
    """Return a fleet with usable credentials; the test's own namespace has them."""
    del cluster_kind
    kube.create_credentials(namespace)
    made = Fleet(kube, namespace)
    yield made
    made.clean_up()


@pytest.fixture
def start(start_operator: StartOperator, namespace: str) -> StartFleetOperator:
    """Return a function that starts an operator for cluster-scoped tokens in all namespaces."""

    def start_it(*options: str, namespaces: tuple[str, ...] = (EVERYWHERE,)) -> Operator:
        enabled = (
            "--enable-cluster-access-tokens",
            f"--cluster-resource-namespace={namespace}",
        )
        return start_operator(*namespaces, options=[*enabled, *options])

    return start_it
