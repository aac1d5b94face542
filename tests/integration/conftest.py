"""What integration tests share: one API server for the whole run, and operators that connect to it.

After each test that starts an operator, its logs, metrics and objects are searched for secrets and
its log for errors.
"""

import contextlib
import http.client
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.api import Kube, token_path
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import Cluster
from tests.support.crd import cluster_with_crd
from tests.support.documented import GROUP, PLURAL, VERSION
from tests.support.leaks import find_leaks
from tests.support.operator_process import Operator, OperatorError, StartOperator
from tests.support.restored import restored
from tests.support.token_endpoint import TokenEndpoint

EVERYWHERE = "*"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with cluster_with_crd(directory, controller_manager=True) as running:
        yield running


@pytest.fixture(scope="session")
def kube(cluster: Cluster) -> Iterator[Kube]:
    with Kube(cluster) as client:
        yield client


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the certificates of all token endpoints, which are slow to create."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
def endpoint(certificates: Path) -> Iterator[TokenEndpoint]:
    with TokenEndpoint(directory=certificates) as running:
        yield running


@pytest.fixture
def namespace(kube: Kube) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    kube.remove_namespace(name)


@pytest.fixture(scope="module")
def reused_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return the cluster that `empty_cluster` empties again."""
    with Cluster(tmp_path_factory.mktemp("cluster"), audit=False) as running:
        yield running


@pytest.fixture
def empty_cluster(reused_cluster: Cluster) -> Iterator[Cluster]:
    """Return a cluster without the CRD and controllers, to which a test may do what it likes."""
    with Kube(reused_cluster) as kube, restored(kube):
        yield reused_cluster


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[ApiProxy]:
    """Return a proxy in front of the API server, which injects faults on its line `operator`."""
    with ApiProxy(cluster.url, cluster.ca_file, tmp_path / "proxy", ["operator"]) as running:
        yield running


@pytest.fixture
def start_operator(
    cluster: Cluster, kube: Kube, endpoint: TokenEndpoint, namespace: str, tmp_path: Path
) -> Iterator[StartOperator]:
    operators: list[Operator] = []
    endpoints = [endpoint]
    served = {namespace}
    default_endpoint = endpoint

    with contextlib.ExitStack() as stack:

        def start(
            *namespaces: str,
            options: Sequence[str] = (),
            endpoint: TokenEndpoint | None = None,
            environ: Mapping[str, str] | None = None,
            kubeconfig: Path | None = None,
            wait: bool = True,
            forked: bool = True,
        ) -> Operator:
            source = endpoint or default_endpoint
            names = namespaces or (namespace,)
            operator = Operator(
                kubeconfig or cluster.kubeconfig,
                source.url,
                source.ca_bundle,
                tmp_path / f"operator-{len(operators)}",
                namespaces=() if EVERYWHERE in names else names,
                options=options,
                environ=environ,
                forked=forked and environ is None,
            )
            operators.append(operator)
            endpoints.append(source)
            served.update(names)
            stack.enter_context(operator)
            if wait:
                operator.wait_ready()
            return operator

        yield start
        texts = _metrics(operators)
    texts |= {f"log of {each.log.parent.name}": each.log.read_text("utf-8") for each in operators}
    texts |= _objects(kube, served)
    secrets = [*kube.client_secrets]
    for source in endpoints:
        secrets += [*source.tokens, *(source.credentials or {}).values()]
    # First of all: what follows shows lines of the log.
    leaks = find_leaks(texts, secrets)
    assert not leaks, f"secrets in: {', '.join(leaks)}"
    errors = [line for each in operators if not each.allow_errors for line in each.errors()]
    assert not errors, "the operator logged errors:\n" + "\n".join(errors)


def _metrics(operators: Iterable[Operator]) -> dict[str, str]:
    """Return the metrics of the operators that still answer."""
    found = {}
    for operator in operators:
        with contextlib.suppress(OSError, http.client.HTTPException, OperatorError):
            found[f"metrics of {operator.log.parent.name}"] = operator.get("/metrics")[1]
    return found


def _objects(kube: Kube, namespaces: Iterable[str]) -> dict[str, str]:
    """Return the resources, with their status, and the events in the namespaces."""
    paths: list[str] = []
    for namespace in namespaces:
        if namespace == EVERYWHERE:
            paths += [f"/apis/{GROUP}/{VERSION}/{PLURAL}", "/api/v1/events"]
        else:
            paths += [token_path(namespace), f"/api/v1/namespaces/{namespace}/events"]
    return {path: json.dumps(kube.get(path), ensure_ascii=False) for path in paths}
