"""Where a run takes place: the cluster, the line to it, the token endpoint and the replicas."""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.population import NAMESPACES, Accounts, Member
from tests.chaos.replicas import Replica, Replicas
from tests.chaos.watcher import Watcher
from tests.chaos.write_log import WriteLog
from tests.support.api import Kube
from tests.support.api_proxy import ApiProxy
from tests.support.audit import AuditLog
from tests.support.chart import install_rights, service_account_token
from tests.support.cluster import Cluster
from tests.support.operator_process import Operator
from tests.support.token_endpoint import TokenEndpoint
from tests.support.wall_clock import WallClock, can_be_set

LIFETIME = 90
SYSTEM = "chaos-system"
LEASE = "pinecone-token-operator"
REPLICAS = ("operator-0", "operator-1")

CRD = Path(__file__).resolve().parents[2] / "crds" / "pineconeaccesstokens.yaml"
_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Place:
    """All that faults are made on.

    Attributes:
        stop: set when the run is over, or broken off.
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
    start: float
    start_wall: float

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.start


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
            start=start,
            start_wall=start_wall,
        )


def _replica(
    name: str, cluster: Cluster, proxy: ApiProxy, endpoint: TokenEndpoint, directory: Path
) -> Replica:
    directory.mkdir()
    install_rights(cluster, SYSTEM, name)
    _grant_leases(cluster, name)
    kubeconfig = directory / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    user = {"token": service_account_token(cluster, SYSTEM, name)}
    kubeconfig.write_text(_kubeconfig(proxy.lines[name].url, proxy.ca_file, user), "utf-8")
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


def _grant_leases(cluster: Cluster, name: str) -> None:
    common = ("--namespace", SYSTEM)
    verbs = "get,list,watch,create,update,patch"
    leases = f"{name}-leases"
    cluster.kubectl(*common, "create", "role", leases, f"--verb={verbs}", "--resource=leases")
    account = f"--serviceaccount={SYSTEM}:{name}"
    cluster.kubectl(*common, "create", "rolebinding", leases, f"--role={leases}", account)


def _kubeconfig(url: str, ca_file: Path, user: dict[str, str]) -> str:
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    cluster = {"server": url, "certificate-authority-data": authority}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "operator", "user": user}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "operator"}}],
        "current-context": "tests",
    }
    return json.dumps(config)
