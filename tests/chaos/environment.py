"""The environment of a run: cluster, proxy, token endpoint, replicas and observers."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.chaos.observers.leak_scanner import LeakScanner
from tests.chaos.observers.target_reader import TargetReader
from tests.chaos.observers.target_writes import TargetWrites
from tests.chaos.observers.witness import Witness
from tests.chaos.observers.write_log import WriteLog
from tests.chaos.population import (
    NAMESPACES,
    SECRET_PREFIX,
    SYSTEM_NAMESPACE,
    UNSELECTED,
    Accounts,
    Fleet,
    Member,
    make_fleets,
    users,
)
from tests.chaos.replicas import Replica, Replicas
from tests.chaos.retry import Retrier
from tests.support.api import Kube
from tests.support.api_proxy import ApiProxy
from tests.support.audit import AuditLog
from tests.support.chart import install_rights, service_account_token
from tests.support.cluster import Cluster
from tests.support.crd import install_crd
from tests.support.documented import CLUSTER_PLURAL
from tests.support.operator_process import Operator
from tests.support.repository import CLUSTER_CRD
from tests.support.token_endpoint import TOKEN_PREFIX, TokenEndpoint
from tests.support.wall_clock import WallClock, can_be_set

T = TypeVar("T")

LIFETIME = 90
LEASE = "pinecone-token-operator"
REPLICAS = ("operator-0", "operator-1")

_ACCOUNT_PREFIX = f"system:serviceaccount:{SYSTEM_NAMESPACE}:"


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that faults act on, and what observes it.

    Attributes:
        stop: set when the run is interrupted.
        cluster: the control plane.
        kube: reaches the API server directly, not through the proxy.
        proxy: what the replicas reach the API server through.
        endpoint: the token endpoint.
        members: the resources.
        fleets: the cluster-scoped resources.
        accounts: their credentials.
        replicas: the operator.
        reader: reads the targets.
        target_writes: knows which target each token was written to.
        write_log: knows what the replicas wrote.
        leak_scanner: searches for tokens and client secrets.
        witness: what other writers did, and what became of what is theirs.
        rights: the operator's Roles and RoleBindings, by namespace; empty if it watches all.
        start: the start of the run in monotonic seconds.
    """

    stop: threading.Event
    cluster: Cluster
    kube: Kube
    proxy: ApiProxy
    endpoint: TokenEndpoint
    members: tuple[Member, ...]
    fleets: tuple[Fleet, ...]
    accounts: Accounts
    replicas: Replicas
    reader: TargetReader
    target_writes: TargetWrites
    write_log: WriteLog
    leak_scanner: LeakScanner
    witness: Witness
    rights: Mapping[str, Sequence[Mapping[str, Any]]]
    start: float

    def seconds(self) -> float:
        """Return the seconds since the start of the run."""
        return time.monotonic() - self.start

    def retry(self, do: Callable[[], T], accept: tuple[int, ...] = ()) -> T | None:
        """Retry an action on the cluster, which may be down; see `Retrier.until_done`."""
        return Retrier(self.stop).until_done(do, accept)

    def wait_until(self, check: Callable[[], bool], what: str) -> None:
        """Wait for a change in the cluster, which may be down; see `Retrier.until_true`."""
        Retrier(self.stop).until_true(check, what)


@contextlib.contextmanager
def open_environment(
    directory: Path, members: tuple[Member, ...], *, selected: bool
) -> Iterator[Environment]:
    """Start everything but the replicas and the observers, which the caller enters.

    Args:
        directory: for all files.
        members: the resources, which the caller creates.
        selected: whether the operator watches a list of namespaces, instead of all.
    """
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(Cluster(directory / "cluster", controller_manager=True))
        kube = stack.enter_context(Kube(cluster))
        install_crd(cluster)
        install_crd(cluster, CLUSTER_CRD, CLUSTER_PLURAL)
        proxy = stack.enter_context(
            ApiProxy(cluster.url, cluster.ca_file, directory / "proxy", REPLICAS)
        )
        endpoint = stack.enter_context(TokenEndpoint(LIFETIME, directory=directory / "endpoint"))
        fleets = make_fleets(selected=selected)
        copies = [each for fleet in fleets for each in fleet.namespaces]
        for namespace in (SYSTEM_NAMESPACE, UNSELECTED, *NAMESPACES, *copies):
            kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        # The namespace that no label selects is served, too.
        served = (*NAMESPACES, UNSELECTED, *copies) if selected else ()
        rights = {name: _install_rights(cluster, name, served) for name in REPLICAS}
        replicas = Replicas(
            [
                _replica(name, cluster, proxy, endpoint, directory / name, served)
                for name in REPLICAS
            ]
        )
        targets = {member.key: member.key for member in members}
        targets |= {copy: fleet.key for fleet in fleets for copy in fleet.copies}
        operators = {replica.name: replica.operator for replica in replicas.all}
        start, start_wall = time.monotonic(), time.time()
        yield Environment(
            stop=threading.Event(),
            cluster=cluster,
            kube=kube,
            proxy=proxy,
            endpoint=endpoint,
            members=members,
            fleets=fleets,
            accounts=Accounts(endpoint, users(members, fleets)),
            replicas=replicas,
            reader=TargetReader(cluster, endpoint, targets, start),
            target_writes=TargetWrites(cluster, endpoint, targets, start),
            write_log=WriteLog(AuditLog(cluster.audit_log), _ACCOUNT_PREFIX, start_wall),
            leak_scanner=LeakScanner(kube, operators, (TOKEN_PREFIX, SECRET_PREFIX)),
            witness=Witness(),
            rights=_by_namespace(served, rights.values()),
            start=start,
        )


def _install_rights(cluster: Cluster, name: str, served: Sequence[str]) -> list[dict[str, Any]]:
    """Apply a replica's ServiceAccount, by which the audit log tells it apart, and its rights."""
    options = ["--set", f"leaderElection.leaseName={LEASE}"]
    options += ["--set", "clusterAccessTokens.enabled=true"]
    if served:
        options += ["--set", f"watchNamespaces={{{','.join(served)}}}"]
    return install_rights(cluster, SYSTEM_NAMESPACE, name, options)


def _by_namespace(
    served: Sequence[str],
    rights: Iterable[Sequence[dict[str, Any]]],
) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in served}
    for obj in itertools.chain.from_iterable(rights):
        if (namespace := obj["metadata"].get("namespace")) in found:
            found[namespace].append(obj)
    return found


def _replica(
    name: str,
    cluster: Cluster,
    proxy: ApiProxy,
    endpoint: TokenEndpoint,
    directory: Path,
    served: Sequence[str],
) -> Replica:
    directory.mkdir()
    token = service_account_token(cluster, SYSTEM_NAMESPACE, name)
    clock = WallClock(directory) if can_be_set() else None
    operator = Operator(
        proxy.kubeconfig(name, token),
        endpoint.url,
        endpoint.ca_bundle,
        directory,
        namespaces=served,
        options=[
            *("--leader-elect", "--leader-election-namespace", SYSTEM_NAMESPACE),
            *("--enable-cluster-access-tokens", "--cluster-resource-namespace", SYSTEM_NAMESPACE),
        ],
        environ=clock.environ if clock else {},
    )
    return Replica(name, operator, clock)
