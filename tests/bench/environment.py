"""The environment of a part of the benchmark: a cluster, a token endpoint and an operator."""

import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import objects
from tests.bench.endpoint import BenchEndpoint
from tests.bench.target_watch import TargetWatch
from tests.support.api import Kube
from tests.support.audit import AuditLog
from tests.support.cluster import Cluster
from tests.support.crd import install_crd
from tests.support.image import image_variables
from tests.support.in_pod import ServiceAccount, lacks_namespaces
from tests.support.operator_process import Operator
from tests.support.repository import ROOT

LIFETIME = 1800  # of a real token, in seconds
# A third of it is the margin, and the jitter is a twentieth on average.
REFRESHED_AFTER = LIFETIME * (1 - 1 / 3 - 1 / 20)
SOURCE = ROOT / "operator"
_AUDIT_SECONDS = 1.0  # a request is logged a moment after its response
_SETTLED_SECONDS = 0.5
_QUIET_SECONDS = 3.0
_TIMEOUT = 1800.0
_READS = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used up to a moment.

    Attributes:
        cpu: the processor time of the operator's current process, in seconds.
        exchanges: how many tokens the endpoint issued.
        audit_mark: the end of the audit log.
    """

    cpu: float
    exchanges: int
    audit_mark: int


class Environment:
    """Everything that a part needs.

    Attributes:
        cluster: a control plane of its own.
        kube: a client of it with all permissions.
        endpoint: the token endpoint.
        operator: as it ships, in a process of its own; not started yet.
        targets: records changes of the target Secrets.
    """

    def __init__(
        self,
        cluster: Cluster,
        kube: Kube,
        endpoint: BenchEndpoint,
        targets: TargetWatch,
        scratch: Path,
        python: Path,
    ) -> None:
        self.cluster = cluster
        self.kube = kube
        self.endpoint = endpoint
        self.targets = targets
        self._scratch = scratch
        self._python = python
        # As in the image: with a kubeconfig, the operator also imports the Kubernetes client.
        self._account = (
            None
            if lacks_namespaces()
            else ServiceAccount(
                cluster.url,
                cluster.ca_file,
                cluster.token,
                objects.NAMESPACE,
                scratch / "serviceaccount",
            )
        )
        self._audit = AuditLog(cluster.audit_log)
        self._operators: list[Operator] = []
        self.operator = self.another_operator("operator")

    def another_operator(self, name: str, *options: str) -> Operator:
        """Return an operator that is not started yet.

        Args:
            name: of its directory.
            options: of its command line.
        """
        operator = Operator(
            self.cluster.kubeconfig,
            self.endpoint.url,
            self.endpoint.ca_bundle,
            self._scratch / name,
            options=["--log-level", "info", *options],
            environ={**image_variables(), "PYTHONPATH": str(SOURCE)},
            python=str(self._python),
            account=self._account,
        )
        self._operators.append(operator)
        return operator

    def stop_operators(self) -> None:
        for each in self._operators:
            if each.running:
                each.stop()

    def usage(self) -> Usage:
        """Return what has been used until now."""
        cpu = self.operator.cpu_seconds() if self.operator.running else 0.0
        return Usage(cpu, self.endpoint.exchanges, self._audit.mark())

    def requests(self, since: Usage) -> Counter[str]:
        """Count the operator's requests by verb and resource, without watches."""
        time.sleep(_AUDIT_SECONDS)
        return Counter(
            f"{one.verb} {one.resource}/{one.subresource}".rstrip("/")
            for one in self._audit.since(since.audit_mark)
            if one.verb != "watch"
        )

    def wait_for_events(self) -> None:
        """Wait until no more Events are written: every first token has one, written slowly."""
        while True:
            before = self.usage()
            time.sleep(_QUIET_SECONDS)
            if not self.requests(before)["create events"]:
                return

    def wait_until_settled(self, reconciles: int = 0, operators: Sequence[Operator] = ()) -> float:
        """Wait until so many reconciles are done and the queues stay empty for a moment.

        Args:
            reconciles: how many, of all operators together.
            operators: whose reconciles and queues count; none means `operator`.

        Returns:
            When that moment began, in seconds of `time.monotonic`.
        """
        deadline = time.monotonic() + _TIMEOUT
        began: float | None = None
        those = operators or (self.operator,)
        while time.monotonic() < deadline:
            now = time.monotonic()
            done = [
                each.metric("pinecone_token_reconciles_total", result="success") for each in those
            ]
            waiting = [each.metric("pinecone_token_queue_length") for each in those]
            if sum(done) >= reconciles and not any(waiting):
                began = began or now
                if now - began >= _SETTLED_SECONDS:
                    return began
            else:
                began = None
            time.sleep(0.1)
        raise TimeoutError("the operator did not become idle")


def writes(requests: Counter[str]) -> int:
    """Return how many of the requests are writes."""
    return sum(count for what, count in requests.items() if what.split()[0] not in _READS)


@contextlib.contextmanager
def environment(
    latency: float, lifetime: int = LIFETIME, python: Path = Path(sys.executable)
) -> Iterator[Environment]:
    """Start everything but the operator; the cluster contains only the CRD and a namespace.

    Args:
        latency: the token endpoint's response time, in seconds.
        lifetime: of its tokens, in seconds.
        python: the interpreter of the operator.
    """
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        cluster = stack.enter_context(Cluster(scratch / "cluster"))
        kube = stack.enter_context(Kube(cluster))
        install_crd(cluster)
        kube.create("/api/v1/namespaces", {"metadata": {"name": objects.NAMESPACE}})
        endpoint = stack.enter_context(BenchEndpoint(lifetime, latency, scratch / "endpoint"))
        targets = stack.enter_context(TargetWatch(cluster))
        env = Environment(cluster, kube, endpoint, targets, scratch, python)
        stack.callback(env.stop_operators)
        yield env
