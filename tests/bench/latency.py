"""How long it takes from a change to the right Secret, on an idle cluster.

    python -m tests.bench.latency [--tries 30] [--latency 0.05]

It prints milliseconds: new resource to Secret, changed credentials to new token, deleted target to
restored target. The clock starts before the request that makes the change.
"""

import argparse
import base64
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.api import Kube, secret_path
from tests.support.cluster import Cluster
from tests.support.operator_process import Operator
from tests.support.token_endpoint import TokenEndpoint

CRD = Path(__file__).resolve().parents[2] / "crds" / "pineconeaccesstokens.yaml"
_POLL_SECONDS = 0.001
_LONGEST = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the time from a change to the Secret.")
    parser.add_argument("--tries", type=int, default=30)
    parser.add_argument("--latency", type=float, default=0.05, help="of the endpoint, in seconds")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        Cluster(Path(scratch) / "cluster") as cluster,
        Kube(cluster) as kube,
        TokenEndpoint(latency=arguments.latency) as endpoint,
    ):
        cluster.kubectl("apply", "--server-side", "-f", str(CRD))
        cluster.kubectl("wait", "--for=condition=Established", "-f", str(CRD))
        operator = Operator(
            cluster.kubeconfig,
            endpoint.url,
            endpoint.ca_bundle,
            Path(scratch) / "operator",
            options=["--log-level", "info"],
        )
        with operator:
            operator.wait_ready()
            measure(kube, arguments.tries, arguments.latency)


def measure(kube: Kube, tries: int, latency: float) -> None:
    arrival, rotation, repair = [], [], []
    for number in range(tries):
        account, name = f"account-{number}", f"token-{number}"
        kube.create_credentials("default", account, client_id=f"id-{number}")
        reference = {"name": account}
        arrival.append(
            seconds_until_new(
                kube,
                name,
                lambda: kube.create_token("default", name, credentialsSecretRef=reference),  # noqa: B023 - called in this round
            )
        )
        changed = base64.b64encode(f"secret-{number}".encode()).decode()
        patch = {"data": {"client_secret": changed}}
        path = secret_path("default", account)
        rotation.append(seconds_until_new(kube, name, lambda: kube.patch(path, patch)))  # noqa: B023 - called in this round
        target = secret_path("default", name)
        repair.append(seconds_until_new(kube, name, lambda: kube.delete(target)))  # noqa: B023 - called in this round
    print(f"endpoint {latency * 1000:.0f} ms, {tries} tries, in milliseconds:")
    print(f"{'':34}{'p50':>6}{'p90':>6}{'max':>6}")
    rows = (
        ("new resource to Secret", arrival),
        ("changed credentials to new token", rotation),
        ("deleted target to restored target", repair),
    )
    for what, values in rows:
        p90 = statistics.quantiles(values, n=10)[-1]
        figures = (statistics.median(values), p90, max(values))
        print(f"{what:34}" + "".join(f"{figure * 1000:6.0f}" for figure in figures))


def seconds_until_new(kube: Kube, name: str, change: Callable[[], object]) -> float:
    """Return the time from before a change until the target holds another token than before."""
    before = (kube.secret("default", name) or {}).get("access_token")
    started = time.perf_counter()
    change()
    while time.perf_counter() - started < _LONGEST:
        token = (kube.secret("default", name) or {}).get("access_token")
        if token not in (None, before):
            return time.perf_counter() - started
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"{name} got no new token")


if __name__ == "__main__":
    main()
