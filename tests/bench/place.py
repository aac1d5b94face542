"""Where a part of the benchmark takes place: a cluster, a token endpoint and an operator."""

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench import objects
from tests.bench.endpoint import BenchEndpoint
from tests.bench.target_watch import TargetWatch
from tests.support.api import Kube
from tests.support.audit import AuditLog
from tests.support.cluster import Cluster
from tests.support.operator_process import Operator

CRD = Path(__file__).resolve().parents[2] / "crds" / "pineconeaccesstokens.yaml"
LIFETIME = 1800  # of a real token, in seconds
_AUDIT_SECONDS = 1.0  # a request is in the log a moment after its answer
_SETTLED_SECONDS = 0.5
_PATIENCE = 600.0
_READS = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used up to a moment.

    Attributes:
        cpu: the operator's processor time, in seconds; of the process that runs.
        exchanges: tokens that the endpoint gave.
        audit_mark: the end of the audit log.
    """

    cpu: float
    exchanges: int
    audit_mark: int


class Place:
    """All that a part needs.

    Attributes:
        cluster: a control plane of its own.
        kube: a client of it that may do everything.
        endpoint: the token endpoint.
        operator: as it ships, in a process of its own; not started yet.
        targets: what becomes of the target Secrets.
    """

    def __init__(
        self,
        cluster: Cluster,
        kube: Kube,
        endpoint: BenchEndpoint,
        operator: Operator,
        targets: TargetWatch,
    ) -> None:
        self.cluster = cluster
        self.kube = kube
        self.endpoint = endpoint
        self.operator = operator
        self.targets = targets
        self._audit = AuditLog(cluster.audit_log)

    def usage(self) -> Usage:
        """Return what was used until now."""
        cpu = self.operator.cpu_seconds() if self.operator.running else 0.0
        return Usage(cpu, self.endpoint.exchanges, self._audit.mark())

    def requests(self, since: Usage) -> Counter[str]:
        """Return the operator's requests by what they are, without watches."""
        time.sleep(_AUDIT_SECONDS)
        return Counter(
            f"{one.verb} {one.resource}/{one.subresource}".rstrip("/")
            for one in self._audit.since(since.audit_mark)
            if one.verb != "watch"
        )

    def wait_until_settled(self, looks: int = 0) -> float:
        """Wait until the operator has looked so often and its queue is empty for a moment.

        Returns:
            When that moment began, in seconds of `time.monotonic`.
        """
        deadline = time.monotonic() + _PATIENCE
        began: float | None = None
        while time.monotonic() < deadline:
            now = time.monotonic()
            done = self.operator.metric("pinecone_token_reconciles_total", result="success")
            if done >= looks and self.operator.metric("pinecone_token_queue_length") == 0:
                began = began or now
                if now - began >= _SETTLED_SECONDS:
                    return began
            else:
                began = None
            time.sleep(0.1)
        raise TimeoutError("The operator does not settle.")


def writes(requests: Counter[str]) -> int:
    """Return how many of the requests are writes."""
    return sum(count for what, count in requests.items() if what.split()[0] not in _READS)


@contextlib.contextmanager
def place(latency: float, lifetime: int = LIFETIME) -> Iterator[Place]:
    """Start all but the operator, with nothing in the cluster but the CRD and a namespace."""
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        cluster = stack.enter_context(Cluster(scratch / "cluster"))
        kube = stack.enter_context(Kube(cluster))
        cluster.kubectl("apply", "--server-side", "-f", str(CRD))
        cluster.kubectl("wait", "--for=condition=Established", "-f", str(CRD))
        kube.create("/api/v1/namespaces", {"metadata": {"name": objects.NAMESPACE}})
        endpoint = stack.enter_context(BenchEndpoint(lifetime, latency, scratch / "endpoint"))
        targets = stack.enter_context(TargetWatch(cluster))
        operator = Operator(
            cluster.kubeconfig,
            endpoint.url,
            endpoint.ca_bundle,
            scratch / "operator",
            options=["--log-level", "info"],
        )
        stack.callback(lambda: operator.running and operator.stop())
        yield Place(cluster, kube, endpoint, operator, targets)
