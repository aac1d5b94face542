"""What a refresh and a restart cost, counted by the API server and by the token endpoint."""

from collections import Counter

from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.audit import AuditLog, Request
from tests.support.cluster import Cluster
from tests.support.documented import PLURAL
from tests.support.encoding import encode
from tests.support.operator_process import Operator, StartOperator
from tests.support.token_endpoint import TokenEndpoint

FRESH = 200


def test_refresh_costs_one_exchange_one_read_and_two_writes(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
) -> None:
    audit = AuditLog(cluster.audit_log)
    # Refreshed every 2 to 3 s, by the schedule alone.
    endpoint.lifetime = 4
    kube.create_credentials(namespace)
    start_operator()
    kube.create_token(namespace)
    eventually(lambda: endpoint.exchanges >= 2, "the schedule is running")
    settle(kube, endpoint, namespace)
    mark, exchanges = audit.mark(), endpoint.exchanges

    eventually(lambda: endpoint.exchanges >= exchanges + 3, "three more refreshes", 30)
    settle(kube, endpoint, namespace)
    refreshes = endpoint.exchanges - exchanges

    def all_counted() -> bool:
        return count(audit.since(mark, namespace=namespace))["patch", "secrets"] >= refreshes

    eventually(all_counted, "the audit log has all writes")
    counts = count(audit.since(mark, namespace=namespace))
    print(f"{refreshes} refreshes: {dict(counts)}")
    assert counts == {
        ("get", "secrets"): refreshes,
        ("patch", "secrets"): refreshes,
        ("patch", f"{PLURAL}/status"): refreshes,
    }


def test_takeovers_of_fresh_tokens_cost_one_read_each(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
) -> None:
    audit = AuditLog(cluster.audit_log)
    kube.create_credentials(namespace)
    for number in range(FRESH):
        kube.create_token(namespace, f"token-{number}")
    election = ["--leader-elect", f"--leader-election-namespace={namespace}"]
    operator = start_operator(options=election)
    eventually(lambda: ready(kube, namespace) == FRESH, "all are ready", 60)
    assert endpoint.exchanges == FRESH

    def assert_cheap(leader: Operator, mark: int, *created: str) -> None:
        new = created[-1]
        leader.wait_ready()
        eventually(lambda: leader.metric("pinecone_token_leader") == 1, "it is the leader")
        eventually(
            lambda: (
                leader.metric("pinecone_token_reconciles_total", result="success") >= FRESH
                and leader.metric("pinecone_token_queue_length") == 0
            ),
            "all were reconciled",
            30,
        )
        # A new resource is reconciled last: once its write is in the audit log, all others are.
        kube.create_token(namespace, new, credentialsSecretRef={"name": f"absent-{new}"})
        eventually(
            lambda: any(one.name == new for one in writes(audit, mark, namespace)),
            "the audit log has the last write",
        )
        assert {one.name for one in writes(audit, mark, namespace)} == {new}
        assert endpoint.exchanges == FRESH
        # Each target once, and the credentials never.
        tokens = [f"token-{number}" for number in range(FRESH)]
        absent = [f"absent-{name}" for name in created]
        assert reads(audit, mark, namespace) == dict.fromkeys([*tokens, *created, *absent], 1)

    mark = audit.mark()
    assert operator.stop() == 0
    operator.start()
    assert_cheap(operator, mark, "restart")

    standby = start_operator(options=election)
    mark = audit.mark()
    assert operator.stop() == 0
    assert_cheap(standby, mark, "restart", "failover")


def test_credentials_changed_while_none_ran_are_exchanged(
    cluster: Cluster,
    kube: Kube,
    endpoint: TokenEndpoint,
    namespace: str,
    start_operator: StartOperator,
) -> None:
    audit = AuditLog(cluster.audit_log)
    accounts = ("untouched", "labelled", "changed", "recreated")
    for account in accounts:
        kube.create_credentials(namespace, account)
        kube.create_token(namespace, f"of-{account}", credentialsSecretRef={"name": account})
    operator = start_operator()
    for account in accounts:
        kube.until(namespace, "Ready", "TokenValid", f"of-{account}")
    before = {account: access_token(kube, namespace, account) for account in accounts}
    assert operator.stop() == 0

    mark = audit.mark()
    labels = {"metadata": {"labels": {"touched": "yes"}}}
    kube.patch(secret_path(namespace, "labelled"), labels)
    other = {"data": {"client_id": encode("another")}}
    kube.patch(secret_path(namespace, "changed"), other)
    kube.delete(secret_path(namespace, "recreated"))
    kube.create_credentials(namespace, "recreated", client_id="another")
    operator.start()

    for account in ("changed", "recreated"):
        eventually(
            lambda account=account: (  # type: ignore[misc]
                access_token(kube, namespace, account) != before[account]
            ),
            f"{account} has another token",
        )
    eventually(lambda: reads(audit, mark, namespace)["labelled"], "the touched one was read")
    eventually(lambda: reads(audit, mark, namespace)["of-untouched"], "its target was read")
    assert not reads(audit, mark, namespace)["untouched"]
    for account in ("untouched", "labelled"):
        assert access_token(kube, namespace, account) == before[account]
    assert endpoint.exchanges == len(accounts) + 2


def test_startup_lists_resources_once_and_misses_none(
    cluster: Cluster, kube: Kube, namespace: str, start_operator: StartOperator
) -> None:
    audit = AuditLog(cluster.audit_log)
    mark = audit.mark()
    kube.create_credentials(namespace)
    for number in range(3):
        kube.create_token(namespace, f"before-{number}")
    operator = start_operator(wait=False)
    # Some are created before the list, some during it, some after it.
    for number in range(40):  # they fit in a page
        kube.create_token(namespace, f"meanwhile-{number}")
    operator.wait_ready()
    kube.create_token(namespace, "after")

    def with_targets() -> int:
        return len((kube.get(secret_path(namespace)) or {"items": []})["items"]) - 1

    eventually(lambda: with_targets() == 44, "all have a target", 30)
    lists = [
        one
        for one in audit.since(mark, namespace=namespace)
        # Without the request for the resourceVersion to watch from, which selects no name.
        if (one.verb, one.resource) == ("list", PLURAL) and one.name != "-"
    ]
    assert len(lists) == 1


def ready(kube: Kube, namespace: str) -> int:
    """Return how many resources are Ready."""
    items = (kube.get(token_path(namespace)) or {"items": []})["items"]
    return sum(
        condition["status"] == "True"
        for item in items
        for condition in item.get("status", {}).get("conditions", ())
        if condition["type"] == "Ready"
    )


def settle(kube: Kube, endpoint: TokenEndpoint, namespace: str) -> None:
    """Wait until the target holds the latest token and the status reports it."""

    def settled() -> bool:
        secret = kube.secret(namespace, "search") or {}
        status = (kube.get(token_path(namespace, "search")) or {}).get("status", {})
        return secret.get("access_token") == endpoint.tokens[-1] and secret[
            "expires_at"
        ] == status.get("expiresAt")

    eventually(settled, "the target and the status match the latest exchange")


def count(requests: list[Request]) -> Counter[tuple[str, str]]:
    return Counter(
        (one.verb, f"{one.resource}/{one.subresource}".rstrip("/"))
        for one in requests
        if one.verb != "watch"
    )


def access_token(kube: Kube, namespace: str, account: str) -> str:
    return (kube.secret(namespace, f"of-{account}") or {})["access_token"]


def reads(audit: AuditLog, mark: int, namespace: str) -> Counter[str]:
    """Return how often each Secret was read."""
    return Counter(
        one.name
        for one in audit.since(mark, namespace=namespace)
        if (one.verb, one.resource) == ("get", "secrets")
    )


def writes(audit: AuditLog, mark: int, namespace: str) -> list[Request]:
    reads = ("get", "list", "watch")
    return [
        one
        for one in audit.since(mark, namespace=namespace)
        if one.verb not in reads and one.resource in ("secrets", PLURAL)
    ]
