"""Where a run takes place: the cluster, the line to it, the token endpoint and the replicas."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.chaos.holders import Holders
from tests.chaos.population import NAMESPACES, Accounts, Member
from tests.chaos.replicas import Replica, Replicas
from tests.chaos.stubborn import Stubborn
from tests.chaos.watcher import Watcher
from tests.chaos.write_log import WriteLog
from tests.support.api import Kube
from tests.support.api_proxy import ApiProxy
from tests.support.audit import AuditLog
from tests.support.chart import install_rights, service_account_token
from tests.support.cluster import Cluster
from tests.support.operator_process import Operator
from tests.support.repository import CRD
from tests.support.token_endpoint import TokenEndpoint
from tests.support.wall_clock import WallClock, can_be_set

T = TypeVar("T")

LIFETIME = 90
SYSTEM = "chaos-system"
LEASE = "pinecone-token-operator"
REPLICAS = ("operator-0", "operator-1")

_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Place:
    """All that faults are made on.

    Attributes:
        stop: set when the run is broken off.
        kube: reaches the API server directly, past the proxy.
        start: the monotonic time from which a run's seconds count. start_wall: the same in UTC.
    """

    directory: Path
    stop: threading.Event
    cluster: Cluster
    kube: Kube
    writes: WriteLog
    proxy: ApiProxy
    endpoint: TokenEndpoint
    members: tuple[Member, ...]
    accounts: Accounts
    replicas: Replicas
    watcher: Watcher
    holders: Holders
    start: float
    start_wall: float

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.start

    def insist(self, do: Callable[[], T], done: tuple[int, ...] = ()) -> T | None:
        """Do something to the cluster, which may be away; as of `Stubborn`."""
        return Stubborn(self.stop).insist(do, done)

    def wait_until(self, check: Callable[[], bool], what: str) -> None:
        """Wait for something in the cluster, which may be away; as of `Stubborn`."""
        Stubborn(self.stop).wait_until(check, what)


@contextlib.contextmanager
def opened(directory: Path, members: tuple[Member, ...]) -> Iterator[Place]:
    """Start everything but the operator's replicas, which have to be entered."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(Cluster(directory / "cluster", controller_manager=True))
        kube = stack.enter_context(Kube(cluster))
        cluster.kubectl("apply", "--server-side", "-f", str(CRD))
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRD))
        proxy = stack.enter_context(
            ApiProxy(cluster.url, cluster.ca_file, directory / "proxy", REPLICAS)
        )
        endpoint = stack.enter_context(TokenEndpoint(LIFETIME, directory=directory / "endpoint"))
        for namespace in (SYSTEM, *NAMESPACES):
            kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        replicas = Replicas(
            [_replica(name, cluster, proxy, endpoint, directory / name) for name in REPLICAS]
        )
        start, start_wall = time.monotonic(), time.time()
        yield Place(
            directory=directory,
            stop=threading.Event(),
            cluster=cluster,
            kube=kube,
            writes=WriteLog(AuditLog(cluster.audit_log), f"{_ACCOUNT_PREFIX}{SYSTEM}:", start_wall),
            proxy=proxy,
            endpoint=endpoint,
            members=members,
            accounts=Accounts(endpoint, members),
            replicas=replicas,
            watcher=Watcher(cluster, endpoint, members, start),
            holders=Holders(stack.enter_context(Kube(cluster)), endpoint, members),
            start=start,
            start_wall=start_wall,
        )


def _replica(
    name: str, cluster: Cluster, proxy: ApiProxy, endpoint: TokenEndpoint, directory: Path
) -> Replica:
    directory.mkdir()
    # An account of its own for each, by which the audit log tells them apart.
    install_rights(cluster, SYSTEM, name, ["--set", f"leaderElection.leaseName={LEASE}"])
    kubeconfig = proxy.kubeconfig(name, service_account_token(cluster, SYSTEM, name))
    clock = WallClock(directory) if can_be_set() else None
    operator = Operator(
        kubeconfig,
        endpoint.url,
        endpoint.ca_bundle,
        directory,
        options=["--leader-elect", "--leader-election-namespace", SYSTEM],
        environ=clock.environ if clock else {},
    )
    return Replica(name, operator, clock)
