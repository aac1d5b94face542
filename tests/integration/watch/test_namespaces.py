"""The operator as a process, in a cluster where a namespace, or the API server, cannot be used."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.api import Kube, eventually, token_path
from tests.support.api_proxy import ApiProxy
from tests.support.audit import AuditLog
from tests.support.cluster import Cluster
from tests.support.crd import cluster_with_crd
from tests.support.documented import PLURAL
from tests.support.operator_process import Operator, OperatorError, StartOperator
from tests.support.token_endpoint import TokenEndpoint
from tests.support.watching import Account

SERVED = "pinecone_token_namespace_served"
RESYNC = ("--resync-interval=10s",)


@pytest.fixture
def namespaces(kube: Kube) -> Iterator[Callable[[], str]]:
    """Return a function that creates a namespace with credentials."""
    names = []

    def create() -> str:
        names.append(f"isolated-{uuid.uuid4().hex[:8]}")
        kube.create("/api/v1/namespaces", {"metadata": {"name": names[-1]}})
        kube.create_credentials(names[-1])
        return names[-1]

    yield create
    for name in names:
        kube.remove_namespace(name)


def served(operator: Operator, namespace: str) -> float:
    return operator.metric(SERVED, namespace=namespace)


def has_token(kube: Kube, namespace: str, name: str, timeout: float = 15) -> None:
    kube.create_token(namespace, name)
    kube.until(namespace, "Ready", "TokenValid", name, timeout)


def test_revoked_permissions_affect_one_namespace_only(
    cluster: Cluster,
    kube: Kube,
    namespaces: Callable[[], str],
    start_operator: StartOperator,
    proxy: ApiProxy,
) -> None:
    """Also across a restart of the operator, and until the permissions are granted again."""
    good, bad = namespaces(), namespaces()
    account = Account(cluster, kube, good)
    for each in (good, bad):
        account.grant_operator(each)
    kubeconfig = proxy.kubeconfig("operator", account.token)
    operator = start_operator(good, bad, kubeconfig=kubeconfig, options=RESYNC)
    for each in (good, bad):
        has_token(kube, each, "before")

    account.revoke(bad)
    proxy.cut_watches("operator")
    eventually(lambda: served(operator, bad) == 0, "the namespace is reported")
    eventually(lambda: served(operator, good) == 1, "the other is served")
    has_token(kube, good, "meanwhile")
    status, text = operator.get("/readyz")
    assert (status, text.splitlines()[0]) == (200, "ok")
    assert f"namespace {bad}: failed to watch" in text

    operator.kill()
    operator.start()
    operator.wait_ready()
    has_token(kube, good, "after")
    kube.create_token(bad, "after")
    assert served(operator, bad) == 0

    account.grant_operator(bad)
    kube.until(bad, "Ready", "TokenValid", "after", 60)
    eventually(lambda: served(operator, bad) == 1, "the namespace is served again", 60)
    assert operator.get("/livez") == (200, "ok\n")


def test_deleted_namespace_leaves_the_others_alone(
    cluster: Cluster, kube: Kube, namespaces: Callable[[], str], start_operator: StartOperator
) -> None:
    good, gone = namespaces(), namespaces()
    account = Account(cluster, kube, good)
    for each in (good, gone):
        account.grant_operator(each)
    operator = start_operator(good, gone, kubeconfig=account.kubeconfig, options=RESYNC)
    for each in (good, gone):
        has_token(kube, each, "before")
    kube.delete(f"/api/v1/namespaces/{gone}")
    path = f"/api/v1/namespaces/{gone}"
    eventually(lambda: kube.get(path) is None, "the namespace is gone", 60)
    operator.kill()
    operator.start()
    operator.wait_ready()
    has_token(kube, good, "after")
    assert served(operator, gone) == 0


def test_operator_waits_for_permissions_on_all_namespaces(
    cluster: Cluster, kube: Kube, namespaces: Callable[[], str], start_operator: StartOperator
) -> None:
    namespace = namespaces()
    account = Account(cluster, kube, namespace)
    operator = start_operator(namespace, kubeconfig=account.kubeconfig, wait=False)
    kube.create_token(namespace, "search")

    def reason() -> str:
        with contextlib.suppress(OSError, OperatorError):
            return operator.get("/readyz")[1]
        return ""

    eventually(lambda: "failed to watch secrets (403 Forbidden" in reason(), "it is not ready")
    assert operator.running
    account.grant_operator(namespace)
    kube.until(namespace, "Ready", "TokenValid", "search", 60)
    operator.wait_ready()


def test_operator_waits_for_an_api_server_that_is_away(
    tmp_path: Path, endpoint: TokenEndpoint
) -> None:
    """For longer than any start-up limit: an exit would add the kubelet's backoff."""
    with cluster_with_crd(tmp_path / "cluster", audit=False) as own, Kube(own) as kube:
        kube.create_credentials("default")
        kube.create_token("default")
        own.kill_apiserver()
        operator = Operator(own.kubeconfig, endpoint.url, endpoint.ca_bundle, tmp_path / "operator")
        with operator:
            time.sleep(35)
            assert operator.running
            assert operator.get("/livez")[0] == 200
            assert operator.get("/readyz")[0] == 503
            own.start_apiserver()
            with Kube(own) as kube_again:
                kube_again.until("default", "Ready", "TokenValid", timeout=60)
            operator.wait_ready()
            assert operator.stop() == 0


def test_hanging_list_affects_one_namespace_only(
    cluster: Cluster,
    kube: Kube,
    namespaces: Callable[[], str],
    start_operator: StartOperator,
    proxy: ApiProxy,
) -> None:
    """From the start on."""
    good, bad = namespaces(), namespaces()
    line = proxy.lines["operator"]
    line.scope, line.list_delay = f"/{bad}/", 1000.0
    # The bad one first, should they be listed in turns.
    kubeconfig = proxy.kubeconfig("operator", cluster.token)
    operator = start_operator(bad, good, kubeconfig=kubeconfig, options=RESYNC, wait=False)
    has_token(kube, good, "search", 30)
    kube.create_token(bad, "search")
    line.list_delay = 0.0
    proxy.cut("operator")
    kube.until(bad, "Ready", "TokenValid", "search", 90)
    operator.wait_ready()


def test_slow_lists_are_waited_for(
    cluster: Cluster,
    kube: Kube,
    namespaces: Callable[[], str],
    start_operator: StartOperator,
    proxy: ApiProxy,
) -> None:
    namespace = namespaces()
    line = proxy.lines["operator"]
    line.list_delay = 11.0  # longer than a request may take, and than the start waits
    kube.create_token(namespace, "before")
    kubeconfig = proxy.kubeconfig("operator", cluster.token)
    operator = start_operator(namespace, kubeconfig=kubeconfig, wait=False)
    kube.until(namespace, "Ready", "TokenValid", "before", 90)
    has_token(kube, namespace, "after", 30)
    eventually(lambda: operator.get("/readyz")[0] == 200, "it is ready", 60)
    slow = f"Listing resources in namespace {namespace} takes long"
    done = f"Listed resources in namespace {namespace}"
    log = eventually(
        lambda: text if done in (text := operator.log.read_text("utf-8")) else "", done
    )
    assert -1 < log.find(slow) < log.find(done)
    audit = AuditLog(cluster.audit_log)
    mark = audit.mark()
    time.sleep(35)
    requests = audit.since(mark, namespace=namespace)
    lists = [each for each in requests if (each.verb, each.resource) == ("list", PLURAL)]
    assert len(lists) <= 1  # that they are slow is no reason to list again and again
    assert operator.get("/livez") == (200, "ok\n")


def test_expired_token_in_a_restored_store_is_replaced(
    tmp_path: Path, endpoint: TokenEndpoint
) -> None:
    backup = tmp_path / "backup"
    with cluster_with_crd(tmp_path / "cluster", audit=False) as own:
        operator = Operator(own.kubeconfig, endpoint.url, endpoint.ca_bundle, tmp_path / "operator")
        with operator:
            endpoint.lifetime = 20
            with Kube(own) as kube:
                kube.create_credentials("default")
                kube.create_token("default")
                kube.until("default", "Ready", "TokenValid", timeout=30)
                old = (kube.secret("default", "search") or {})["access_token"]
            own.back_up_store(backup)
            expires_at = time.monotonic() + 20
            endpoint.lifetime = 1800
            with Kube(own) as kube:
                asked = {
                    "metadata": {
                        "annotations": {
                            "pinecone.token-operator.dev/refresh-requested-at": "now",
                        }
                    }
                }
                kube.patch(token_path("default", "search"), asked)
                eventually(
                    lambda: (kube.secret("default", "search") or {})["access_token"] != old,
                    "a new token",
                    60,
                )
                for number in range(100):
                    kube.patch(
                        token_path("default", "search"),
                        {"metadata": {"labels": {"n": f"{number}"}}},
                    )
            time.sleep(max(0.0, expires_at - time.monotonic()))
            own.restore_store(backup)
            with Kube(own) as kube:
                assert "labels" not in (kube.token("default", "search") or {})["metadata"]
                eventually(
                    lambda: (kube.secret("default", "search") or {})["access_token"] != old,
                    "the expired token is replaced",
                    40,
                )
            assert operator.stop() == 0
