"""Two replicas: a leader, and a standby that takes over whatever happens to the leader."""

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from itertools import pairwise

import pytest

from pinecone_token_operator.config.settings import LeaderElection
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.client import connect
from pinecone_token_operator.leader_election.elector import Elector
from pinecone_token_operator.leader_election.write_guard import WriteGuard
from tests.support.api import Kube, eventually, token_path
from tests.support.api_proxy import ApiProxy
from tests.support.audit import AuditLog, Request
from tests.support.cluster import Cluster
from tests.support.operator_process import Operator, StartOperator
from tests.support.token_endpoint import TokenEndpoint
from tests.support.watching import Account, until

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
        """Return the leader and the standby, both ready."""
        leader = self.start(options)
        eventually(lambda: logged(leader, "Became the leader as"), "the first becomes the leader")
        other = self.start(options)
        eventually(lambda: logged(other, "Waiting as a standby"), "the second becomes a standby")
        return leader, other

    def start(self, options: Sequence[str]) -> Operator:
        election = ("--leader-elect", f"--leader-election-namespace={self._namespace}")
        return self._start(options=(*election, *options))


def test_leader_does_the_work_and_standby_is_ready(
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


def test_standby_takes_over_within_2_s_of_a_release_at_no_cost(
    cluster: Cluster, kube: Kube, endpoint: TokenEndpoint, namespace: str, start_two: StartTwo
) -> None:
    leader, other = start_two()
    kube.create_credentials(namespace)
    kube.create_token(namespace, "before")
    has_token(kube, namespace, "before")
    versions = [version(kube, namespace, "before")]

    writes = LeaseWrites(cluster, namespace)
    signalled_at = time.monotonic()
    assert leader.stop() == 0
    becomes_leader(other)
    print(f"failover after SIGTERM: {time.monotonic() - signalled_at:.2f} s")
    *_, released, acquired = writes.until_acquired()
    assert released.holder == ""
    assert acquired.received_at - released.answered_at < timedelta(seconds=2)
    kube.create_token(namespace, "after")
    has_token(kube, namespace, "after")
    assert endpoint.exchanges == 2
    versions.append(version(kube, namespace, "before"))
    assert versions[0] == versions[1]


def test_standby_takes_over_within_17_s_of_the_last_renewal(
    cluster: Cluster, kube: Kube, endpoint: TokenEndpoint, namespace: str, start_two: StartTwo
) -> None:
    leader, other = start_two()
    kube.create_credentials(namespace)
    kube.create_token(namespace, "before")
    has_token(kube, namespace, "before")

    writes = LeaseWrites(cluster, namespace)
    held = writes.until_held()
    killed_at = time.monotonic()
    leader.kill()
    becomes_leader(other)
    print(f"failover after SIGKILL: {time.monotonic() - killed_at:.2f} s")
    *_, renewed, acquired = writes.until_acquired()
    assert renewed.holder == held
    assert acquired.received_at - renewed.received_at >= timedelta(seconds=15)
    assert acquired.received_at - renewed.answered_at < timedelta(seconds=17)
    assert endpoint.exchanges == 1


def test_frozen_leader_writes_nothing_and_exits_when_woken(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_two: StartTwo
) -> None:
    leader, other = start_two(*QUICK)
    leader.allow_errors = True
    kube.create_credentials(namespace)
    # Frozen during an exchange that will have failed when it wakes, which it would report.
    endpoint.mode = "hang"
    kube.create_token(namespace, "search")
    eventually(lambda: endpoint.requests, "an exchange is in progress")
    leader.signal(signal.SIGSTOP)
    endpoint.mode = "ok"
    becomes_leader(other)
    has_token(kube, namespace, "search")
    before = version(kube, namespace, "search")
    leader.signal(signal.SIGCONT)

    assert leader.wait(timeout=10) == LEASE_LOST
    assert version(kube, namespace, "search") == before
    assert endpoint.exchanges == 1


def test_deleted_lease_is_recreated(kube: Kube, namespace: str, start_two: StartTwo) -> None:
    leader, other = start_two(*QUICK)
    leader.allow_errors = True
    kube.delete(
        f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/pinecone-token-operator"
    )
    assert leader.wait(timeout=10) == LEASE_LOST
    becomes_leader(other)


class LeaseWrites:
    """The accepted writes of the Lease since a moment, with the API server's own times."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._audit = AuditLog(cluster.audit_log)
        self._mark = self._audit.mark()
        self._namespace = namespace

    def until_held(self) -> str:
        """Wait for the next write, and return the holder's name."""
        eventually(self._read, "the Lease is renewed")
        return self._read()[-1].holder or ""

    def until_acquired(self) -> list[Request]:
        """Wait until another holder acquired it, and return the writes up to then."""

        def found() -> list[Request]:
            writes = self._read()
            holders = [each.holder for each in writes]
            last = next((n for n, name in enumerate(holders) if name not in ("", holders[0])), None)
            return [] if last is None else writes[: last + 1]

        eventually(found, "the Lease is acquired by another")
        return found()

    def _read(self) -> list[Request]:
        return [
            each
            for each in self._audit.since(self._mark, namespace=self._namespace)
            if each.resource == "leases" and each.verb in ("create", "update") and each.code < 300
        ]


def becomes_leader(operator: Operator) -> None:
    eventually(
        lambda: logged(operator, "Became the leader as"), "the standby becomes the leader", 60
    )


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


async def test_write_guard_refuses_writes_after_the_renew_deadline(
    cluster: Cluster, namespace: str
) -> None:
    clock = [0.0]
    times = [timedelta(seconds=seconds) for seconds in (4, 3, 1)]
    settings = LeaderElection("lease", namespace, *times)
    async with aclosing(await connect(cluster.kubeconfig, None)) as api:
        elector = Elector(api, settings, "me", lambda: clock[0], random.Random(1))
        guard = WriteGuard(api, elector.holds)
        path = f"/api/v1/namespaces/{namespace}"
        label = {"metadata": {"labels": {"written": "true"}}}
        merge = "application/merge-patch+json"

        with pytest.raises(ApiError, match="NotLeading"):
            await guard.request("PATCH", path, body=label, content_type=merge)
        running = asyncio.create_task(elector.run())
        await asyncio.wait_for(elector.leading.wait(), 10)
        await guard.request("PATCH", path, body=label, content_type=merge)
        clock[0] = 3.0
        with pytest.raises(ApiError, match="NotLeading"):
            await guard.request("PATCH", path, body=label, content_type=merge)
        assert (await guard.request("GET", path))["metadata"]["name"] == namespace
        running.cancel()
        await asyncio.wait({running})


def test_leader_releases_the_lease_after_an_api_server_outage(
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
    eventually(lambda: logged(leader, "Became the leader as"), "it becomes the leader")
    line.refusal = 503
    signalled_at = time.monotonic()
    leader.signal(signal.SIGTERM)

    def attempts() -> int:
        return leader.log.read_text("utf-8").count("Failed to release the Lease (503")

    eventually(lambda: attempts() >= 8, "it has tried for longer than two seconds", timeout=10)
    line.refusal = None
    assert leader.wait(timeout=10) == 0
    assert time.monotonic() - signalled_at < 10
    lease = kube.get(
        f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/pinecone-token-operator"
    )
    assert lease is not None
    assert not lease["spec"].get("holderIdentity")


@pytest.mark.parametrize("trouble", ["closes_watches", "expires_watches"])
async def test_standby_polls_a_lease_that_cannot_be_watched(
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

    def reads() -> list[Request]:
        return [each for each in audit.since(mark, namespace=namespace) if each.verb == "get"]

    kubeconfig = proxy.kubeconfig("operator", cluster.token)
    async with aclosing(await connect(kubeconfig, None)) as api:
        elector = Elector(api, settings, "me", time.monotonic, random.Random(1))
        running = asyncio.create_task(elector.run())
        await until(lambda: len(reads()) >= 4, reads)
        running.cancel()
        await asyncio.wait({running})

    moments = [each.received_at for each in reads()]
    # The period of one second, less its jitter.
    assert all(later - each > timedelta(seconds=0.7) for each, later in pairwise(moments))


async def test_elector_is_not_ready_while_the_lease_is_forbidden(
    cluster: Cluster, kube: Kube, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    account = Account(cluster, kube, namespace)
    times = [timedelta(seconds=seconds) for seconds in (4, 3, 0.2)]
    settings = LeaderElection("lease", namespace, *times)
    async with aclosing(await connect(account.kubeconfig, None)) as api:
        elector = Elector(api, settings, "me", time.monotonic, random.Random(1))
        assert elector.not_ready() == ["the Lease has not been read yet"]
        running = asyncio.create_task(elector.run())
        try:
            await until(lambda: caplog.messages, elector.not_ready)
            [problem] = elector.not_ready()
            message = f"failed to acquire the Lease {namespace}/lease (403 Forbidden: leases."
            assert problem.startswith(message)
            await asyncio.sleep(1)
            assert len(caplog.messages) == 1  # of several attempts
            # With half of the permissions it reads the Lease and cannot write it.
            account.grant(namespace, "get", plurals=["leases"])
            await until(lambda: "cannot update" in str(elector.not_ready()), elector.not_ready)
            account.grant(namespace, "get", "create", "update", plurals=["leases"])
            await until(elector.leading.is_set, elector.not_ready)
            assert elector.not_ready() == []
        finally:
            running.cancel()
            await asyncio.wait({running})


async def test_standby_needs_no_permission_to_watch_the_lease(
    cluster: Cluster, kube: Kube, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    held = {"holderIdentity": "another", "leaseDurationSeconds": 60}
    kube.create(leases, {"metadata": {"name": "lease"}, "spec": held})
    account = Account(cluster, kube, namespace)
    account.grant(namespace, "get", "create", "update", plurals=["leases"])
    times = [timedelta(seconds=seconds) for seconds in (60, 3, 0.2)]
    settings = LeaderElection("lease", namespace, *times)
    async with aclosing(await connect(account.kubeconfig, None)) as api:
        elector = Elector(api, settings, "me", time.monotonic, random.Random(1))
        running = asyncio.create_task(elector.run())
        try:
            await until(lambda: not elector.not_ready(), elector.not_ready)
            kube.patch(f"{leases}/lease", {"spec": {"holderIdentity": ""}})
            await until(elector.leading.is_set, elector.not_ready)
        finally:
            running.cancel()
            await asyncio.wait({running})
    assert not caplog.messages
