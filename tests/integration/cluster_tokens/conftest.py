"""The kind in the shared cluster, and a fleet of namespaces for each test."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.integration.conftest import EVERYWHERE
from tests.support.api import Kube, KubeError
from tests.support.cluster import Cluster
from tests.support.crd import install_crd
from tests.support.documented import CLUSTER_PLURAL, GROUP, PLURAL, VERSION
from tests.support.fleet import Fleet
from tests.support.operator_process import Operator, StartOperator
from tests.support.repository import CLUSTER_CRD

StartFleetOperator = Callable[..., Operator]


@pytest.fixture(scope="session")
def cluster_kind(cluster: Cluster) -> None:
    """Install the kind."""
    install_crd(cluster, CLUSTER_CRD, CLUSTER_PLURAL)


@pytest.fixture
def fleet(cluster_kind: None, kube: Kube, namespace: str) -> Iterator[Fleet]:
    """Return a fleet with usable credentials; the test's own namespace has them."""
    del cluster_kind
    remove_resources(kube)
    kube.create_credentials(namespace)
    made = Fleet(kube, namespace)
    yield made
    made.clean_up()


def remove_resources(kube: Kube) -> None:
    """Remove what earlier tests left.

    Their namespaces may still be terminating, and an operator for all namespaces would request
    tokens for what is in them.
    """
    for plural in (PLURAL, CLUSTER_PLURAL):
        listed = kube.get(f"/apis/{GROUP}/{VERSION}/{plural}") or {}
        for metadata in (each["metadata"] for each in listed["items"]):
            scope = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
            with contextlib.suppress(KubeError):  # its namespace has gone meanwhile
                kube.delete(f"/apis/{GROUP}/{VERSION}{scope}/{plural}/{metadata['name']}")


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
