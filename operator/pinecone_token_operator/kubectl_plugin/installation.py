"""The operator's installations: whom they serve, and who leads. No I/O, no clock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.kubectl_plugin.findings import Finding, Severity
from pinecone_token_operator.kubectl_plugin.resource import since

CHART: Final = "pinecone-token-operator"
SELECTOR: Final = "app.kubernetes.io/component=operator"
# A node renews its Lease every 10 s, by its own clock.
_CLOCK_TOLERANCE: Final = timedelta(seconds=5)

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Installation:
    """A Deployment of the operator, as the chart makes it.

    Attributes:
        namespace: its namespace.
        name: its name.
        account: its ServiceAccount.
        namespaces: the namespaces that it watches; empty means all.
        lease: the name of its Lease; empty without leader election.
        ready: how many pods are ready.
        credentials: the cluster resource namespace; empty if the operator does not serve
            ClusterPineconeAccessTokens.
    """

    namespace: str
    name: str
    account: str
    namespaces: frozenset[str]
    lease: str
    ready: int
    credentials: str = ""

    @property
    def subject(self) -> str:
        """How a finding names it."""
        return f"Deployment {self.namespace}/{self.name}"

    def serves(self, namespace: str) -> bool:
        """Return whether it watches a namespace."""
        return not self.namespaces or namespace in self.namespaces


def find_installations(deployments: Iterable[Object]) -> list[Installation]:
    """Return the operators among Deployments."""
    return [found for each in deployments if (found := _read(each))]


def in_installations(
    installations: Sequence[Installation], namespaces: Iterable[str], *, has_fresh_token: bool
) -> Iterator[Finding]:
    """Yield what keeps operators from serving namespaces.

    Args:
        installations: the operators that were found.
        namespaces: the namespaces that have resources.
        has_fresh_token: whether some resource is ready, so that an operator is running somewhere.
    """
    if not installations:
        if not has_fresh_token:
            yield Finding(
                Severity.ERROR,
                "cluster",
                "no Deployment of the operator's chart was found",
                "install the operator with the Helm chart",
            )
        return
    for each in installations:
        if each.ready == 0:
            yield Finding(
                Severity.ERROR,
                each.subject,
                "the operator has no ready pod",
                f"kubectl -n {each.namespace} describe deployment {each.name}",
            )
    for namespace in sorted(set(namespaces)):
        if not any(each.serves(namespace) for each in installations):
            listed = ", ".join(sorted({one for each in installations for one in each.namespaces}))
            yield Finding(
                Severity.ERROR,
                f"Namespace {namespace}",
                f"no operator watches it; watched are: {listed}",
                "add it to the chart's value watchNamespaces",
            )


def in_cluster_tokens(installations: Sequence[Installation]) -> Iterator[Finding]:
    """Yield that no operator serves ClusterPineconeAccessTokens, of which there are some."""
    if installations and not any(each.credentials for each in installations):
        yield Finding(
            Severity.ERROR,
            "cluster",
            "no operator serves ClusterPineconeAccessTokens",
            "set the chart's value clusterAccessTokens.enabled to true",
        )


def in_lease(installation: Installation, lease: Object | None, now: datetime) -> Iterator[Finding]:
    """Yield why an operator has no leader; the Lease is None if it does not exist."""
    spec = (lease or {}).get("spec") or {}
    renewed_at = parse_moment(spec.get("renewTime"))
    lifetime = timedelta(seconds=spec.get("leaseDurationSeconds") or 0)
    if not spec.get("holderIdentity") or renewed_at is None:
        problem = f"no leader: nobody holds Lease {installation.lease}"
    elif renewed_at + lifetime < now:
        problem = (
            f"no leader: Lease {installation.lease} was last renewed {since(renewed_at, now)} ago"
        )
    else:
        return
    yield Finding(
        Severity.ERROR,
        installation.subject,
        problem,
        f"kubectl -n {installation.namespace} logs deployment/{installation.name}",
    )


def in_clocks(node_leases: Iterable[Object], now: datetime) -> Iterator[Finding]:
    """Yield the nodes whose clock is ahead of the API server's.

    One that is behind looks like one whose kubelet is slow.
    """
    for lease in node_leases:
        renewed_at = parse_moment((lease.get("spec") or {}).get("renewTime"))
        if renewed_at is not None and renewed_at - now > _CLOCK_TOLERANCE:
            yield Finding(
                Severity.WARNING,
                f"Node {lease['metadata']['name']}",
                f"its clock is {since(now, renewed_at)} ahead of the API server's: applications"
                " that compare expires_at with it see tokens expire too early",
                "synchronize the node's clock (NTP)",
            )


def _read(deployment: Object) -> Installation | None:
    metadata = deployment["metadata"]
    labels = metadata.get("labels") or {}
    if not (
        str(labels.get("helm.sh/chart", "")).startswith(f"{CHART}-")
        or labels.get("app.kubernetes.io/name") == CHART
    ):
        return None
    pod = deployment["spec"]["template"]["spec"]
    arguments = next(
        (
            list(each["args"])
            for each in pod["containers"]
            if (each.get("args") or [""])[0] == "run"
        ),
        None,
    )
    if arguments is None:
        return None
    lease = _values(arguments, "leader-election-lease-name")[-1:] or [CHART]
    shard = "".join(_values(arguments, "shard")[-1:]).partition("/")[0]
    watched = [name for text in _values(arguments, "namespace") for name in text.split(",")]
    return Installation(
        namespace=metadata["namespace"],
        name=metadata["name"],
        account=pod.get("serviceAccountName") or "default",
        namespaces=frozenset(watched),
        lease=(f"{lease[0]}-{shard}" if shard else lease[0])
        if "--leader-elect" in arguments
        else "",
        ready=(deployment.get("status") or {}).get("readyReplicas") or 0,
        credentials=(_values(arguments, "cluster-resource-namespace") or [metadata["namespace"]])[
            -1
        ]
        if "--enable-cluster-access-tokens" in arguments
        else "",
    )


def _values(arguments: Sequence[str], flag: str) -> list[str]:
    return [each.partition("=")[2] for each in arguments if each.startswith(f"--{flag}=")]
