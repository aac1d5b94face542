"""What a refresh costs the operator and the API server, over a steady minute.

    python -m tests.bench.steady [--resources 300] [--lifetime 30] [--seconds 60]

It prints the processor time and the API requests per refresh, the least life that a token had left
when it was replaced, and the operator's memory.
"""

import argparse
import contextlib
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.api import Kube, secret_path
from tests.support.audit import AuditLog
from tests.support.cluster import Cluster
from tests.support.operator_process import Operator
from tests.support.token_endpoint import TokenEndpoint

CRD = Path(__file__).resolve().parents[2] / "crds" / "pineconeaccesstokens.yaml"
_NAMESPACE = "default"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what a refresh costs.")
    parser.add_argument("--resources", type=int, default=300)
    parser.add_argument("--lifetime", type=int, default=30, help="of a token, in seconds")
    parser.add_argument("--seconds", type=int, default=60, help="how long to measure")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        cluster = stack.enter_context(Cluster(scratch / "cluster"))
        kube = stack.enter_context(Kube(cluster))
        endpoint = stack.enter_context(TokenEndpoint(arguments.lifetime, latency=0.05))
        cluster.kubectl("apply", "--server-side", "-f", str(CRD))
        cluster.kubectl("wait", "--for=condition=Established", "-f", str(CRD))
        for number in range(arguments.resources):
            account = f"account-{number}"
            kube.create_credentials(_NAMESPACE, account, client_id=f"id-{number}")
            reference = {"name": account}
            kube.create_token(_NAMESPACE, f"token-{number}", credentialsSecretRef=reference)
        operator = Operator(
            cluster.kubeconfig,
            endpoint.url,
            endpoint.ca_bundle,
            scratch / "operator",
            options=["--log-level", "info"],
        )
        stack.enter_context(operator)
        started, cpu = time.monotonic(), 0.0
        operator.wait_ready()
        while endpoint.exchanges < arguments.resources:
            time.sleep(0.01)
        print(
            f"burst: {arguments.resources} first tokens in {time.monotonic() - started:.1f} s from"
            f" the process's start, {operator.cpu_seconds():.1f} s of CPU"
        )
        time.sleep(arguments.lifetime)  # the first refreshes come all at once
        audit = AuditLog(cluster.audit_log)
        mark, exchanges, cpu = audit.mark(), endpoint.exchanges, operator.cpu_seconds()
        least = watch(kube, arguments.seconds)
        refreshes, used = endpoint.exchanges - exchanges, operator.cpu_seconds() - cpu
        time.sleep(1.0)  # the audit log is written a moment later
        requests = Counter(
            f"{one.verb} {one.resource}/{one.subresource}".rstrip("/")
            for one in audit.since(mark)
            if one.verb != "watch"
        )
        print(f"steady: {refreshes} refreshes in {arguments.seconds} s")
        print(f"  {1000 * used / refreshes:.1f} ms of CPU a refresh")
        for what, count in sorted(requests.items()):
            print(f"  {count / refreshes:.2f} {what} a refresh")
        print(f"  least life seen {least.total_seconds():.0f} s of {arguments.lifetime} s")
        print(f"  {operator.rss_bytes() / 1e6:.0f} MB of memory")


def watch(kube: Kube, seconds: int) -> timedelta:
    """Look at all targets once a second, and return the least life that was left."""
    least = timedelta.max
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        items = (kube.get(secret_path(_NAMESPACE)) or {"items": []})["items"]
        now = datetime.now(UTC)
        for item in items:
            expiry = (
                item["metadata"]
                .get("annotations", {})
                .get("pinecone.token-operator.dev/expires-at")
            )
            if expiry:
                least = min(least, datetime.fromisoformat(expiry) - now)
        time.sleep(1.0)
    return least


if __name__ == "__main__":
    main()
