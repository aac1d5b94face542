"""Two replicas: one works, the other stands by, and takes over whatever becomes of the first."""

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta

import pytest

from pinecone_token_operator.config.settings import LeaderElection
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.client import connect
from pinecone_token_operator.leader_election.elector import Elector
from pinecone_token_operator.leader_election.write_guard import WriteGuard
from tests.support.api import Kube, eventually, token_path
from tests.support.api_proxy import ApiProxy
from tests.support.audit import AuditLog
from tests.support.cluster import Cluster
from tests.support.operator_process import Operator, StartOperator
from tests.support.token_endpoint import TokenEndpoint

LEASE_LOST = 4
# Whole seconds, and as short as the settings allow them to be sensible.
QUICK = (
    "--leader-election-lease-duration=4s",
    "--leader-election-renew-deadline=3s",
    "--leader-election-retry-period=1s",
)


@pytest.fixture
def start_two(namespace: str, start_operator: StartOperator) -> "StartTwo":
    return StartTwo(namespace, start_operator)


class StartTwo:
    def __init__(self, namespace: str, start: StartOperator) -> None:
        self._namespace = namespace
        self._start = start

    def __call__(self, *options: str) -> tuple[Operator, Operator]:
        """Return the leader and the one that stands by, both ready."""
        leader = self.start(options)
        eventually(lambda: logged(leader, "Leading as"), "the first leads")
        other = self.start(options)
        eventually(lambda: logged(other, "Standing by"), "the second stands by")
        return leader, other

    def start(self, options: Sequence[str]) -> Operator:
        election = ("--leader-elect", f"--leader-election-namespace={self._namespace}")
        return self._start(options=(*election, *options))


def test_one_works_and_the_other_is_ready(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_two: StartTwo
) -> None:
    leader, other = start_two()
    kube.create_credentials(namespace)
    for name in ("a", "b", "c"):
        kube.create_token(namespace, name)
    for name in ("a", "b", "c"):
        has_token(kube, namespace, name)
    assert endpoint.exchanges == 3
    assert other.get("/readyz")[0] == 200
    assert other.get("/livez")[0] == 200
    assert other.metric("pinecone_token_exchanges_total") == 0
    assert leader.metric("pinecone_token_exchanges_total") == 3
    assert leader.metric("pinecone_token_leader") == 1
    assert other.metric("pinecone_token_leader") == 0


def test_after_sigterm_the_other_takes_over_within_2_s_and_it_costs_nothing(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_two: StartTwo
) -> None:
    leader, other = start_two()
    kube.create_credentials(namespace)
    kube.create_token(namespace, "before")
    has_token(kube, namespace, "before")
    versions = [version(kube, namespace, "before")]

    told_at = time.monotonic()
    assert leader.stop() == 0
    eventually(lambda: logged(other, "Leading as"), "the other leads", timeout=10)
    took = time.monotonic() - told_at
    print(f"fail-over after SIGTERM: {took:.2f} s")
    assert took < 2
    kube.create_token(namespace, "after")
    has_token(kube, namespace, "after")
    assert endpoint.exchanges == 2
    versions.append(version(kube, namespace, "before"))
    assert versions[0] == versions[1]


def test_after_sigkill_the_other_takes_over_within_17_s(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_two: StartTwo
) -> None:
    leader, other = start_two()
    kube.create_credentials(namespace)
    kube.create_token(namespace, "before")
    has_token(kube, namespace, "before")

    killed_at = time.monotonic()
    leader.kill()
    eventually(lambda: logged(other, "Leading as"), "the other leads", timeout=30)
    took = time.monotonic() - killed_at
    print(f"fail-over after SIGKILL: {took:.2f} s")
    assert took < 17
    assert endpoint.exchanges == 1


def test_a_leader_that_was_frozen_writes_nothing_and_leaves(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_two: StartTwo
) -> None:
    leader, other = start_two(*QUICK)
    leader.allow_errors = True
    kube.create_credentials(namespace)
    # Frozen amid an exchange that will have failed when it wakes, which it would like to tell.
    endpoint.mode = "hang"
    kube.create_token(namespace, "search")
    eventually(lambda: endpoint.requests, "an exchange is under way")
    leader.signal(signal.SIGSTOP)
    endpoint.mode = "ok"
    eventually(lambda: logged(other, "Leading as"), "the other leads", timeout=30)
    has_token(kube, namespace, "search")
    before = version(kube, namespace, "search")
    leader.signal(signal.SIGCONT)

    assert leader.wait(timeout=10) == LEASE_LOST
    assert version(kube, namespace, "search") == before
    assert endpoint.exchanges == 1


def test_a_lease_that_somebody_deleted_is_made_anew(
    kube: Kube, namespace: str, start_two: StartTwo
) -> None:
    leader, other = start_two(*QUICK)
    leader.allow_errors = True
    kube.delete(
        f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/pinecone-token-operator"
    )
    assert leader.wait(timeout=10) == LEASE_LOST
    eventually(lambda: logged(other, "Leading as"), "the other leads")


def logged(operator: Operator, words: str) -> bool:
    return words in operator.log.read_text("utf-8")


def has_token(kube: Kube, namespace: str, name: str) -> None:
    def ready() -> bool:
        return (kube.condition(namespace, name, "Ready") or {}).get("status") == "True"

    eventually(ready, f"{name} has a token")


def version(kube: Kube, namespace: str, name: str) -> str:
    resource = kube.get(token_path(namespace, name)) or {}
    secret = kube.secret_object(namespace, name) or {}
    return f"{resource['metadata']['resourceVersion']} {secret['metadata']['resourceVersion']}"


async def test_who_is_late_may_read_but_not_write(cluster: Cluster, namespace: str) -> None:
    clock = [0.0]
    times = [timedelta(seconds=seconds) for seconds in (4, 3, 1)]
    settings = LeaderElection("lease", namespace, *times)
    async with aclosing(await connect(cluster.kubeconfig, None)) as api:
        elector = Elector(api, settings, "me", lambda: clock[0], random.Random(1))
        fence = WriteGuard(api, elector.holds)
        path = f"/api/v1/namespaces/{namespace}"
        label = {"metadata": {"labels": {"written": "true"}}}
        merge = "application/merge-patch+json"

        with pytest.raises(ApiError, match="NotLeading"):
            await fence.request("PATCH", path, body=label, content_type=merge)
        running = asyncio.create_task(elector.run())
        await asyncio.wait_for(elector.leading.wait(), 10)
        await fence.request("PATCH", path, body=label, content_type=merge)
        clock[0] = 3.0
        with pytest.raises(ApiError, match="NotLeading"):
            await fence.request("PATCH", path, body=label, content_type=merge)
        assert (await fence.request("GET", path))["metadata"]["name"] == namespace
        running.cancel()
        await asyncio.wait({running})


def test_a_leader_that_ends_while_the_api_server_is_in_trouble_still_gives_the_lease_back(
    cluster: Cluster,
    kube: Kube,
    namespace: str,
    proxy: ApiProxy,
    start_operator: StartOperator,
) -> None:
    line = proxy.lines["operator"]
    leader = start_operator(
        options=["--leader-elect", f"--leader-election-namespace={namespace}"],
        kubeconfig=proxy.kubeconfig("operator", cluster.token),
    )
    eventually(lambda: logged(leader, "Leading as"), "it leads")
    line.refusal = 503
    told_at = time.monotonic()
    leader.signal(signal.SIGTERM)

    def tried() -> int:
        return leader.log.read_text("utf-8").count("Failed to release the Lease (503")

    eventually(lambda: tried() >= 8, "it has tried for longer than two seconds", timeout=10)
    line.refusal = None
    assert leader.wait(timeout=10) == 0
    assert time.monotonic() - told_at < 10
    lease = kube.get(
        f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/pinecone-token-operator"
    )
    assert lease is not None
    assert not lease["spec"].get("holderIdentity")


@pytest.mark.parametrize("trouble", ["closes_watches", "expires_watches"])
async def test_a_lease_that_cannot_be_watched_is_looked_at_now_and_then(
    cluster: Cluster, kube: Kube, namespace: str, proxy: ApiProxy, trouble: str
) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    held = {"holderIdentity": "another", "leaseDurationSeconds": 60}
    kube.create(leases, {"metadata": {"name": "lease"}, "spec": held})
    times = [timedelta(seconds=seconds) for seconds in (60, 3, 1)]
    settings = LeaderElection("lease", namespace, *times)
    audit = AuditLog(cluster.audit_log)
    mark = audit.mark()
    setattr(proxy.lines["operator"], trouble, True)
    kubeconfig = proxy.kubeconfig("operator", cluster.token)
    async with aclosing(await connect(kubeconfig, None)) as api:
        elector = Elector(api, settings, "me", time.monotonic, random.Random(1))
        running = asyncio.create_task(elector.run())
        await asyncio.sleep(3.5)  # at least three periods
        running.cancel()
        await asyncio.wait({running})

    looks = [one for one in audit.since(mark, namespace=namespace) if one.verb == "get"]
    assert 3 <= len(looks) <= 6
