"""Several operators that each serve a shard of the resources."""

from tests.support.api import Kube, eventually
from tests.support.operator_process import Operator, StartOperator
from tests.support.token_endpoint import TokenEndpoint

NAMES = [f"token-{number}" for number in range(12)]
EXPIRY = "pinecone_token_expiry_timestamp_seconds"


def served(operator: Operator) -> set[str]:
    return {name for name in NAMES if operator.metric(EXPIRY, name=name) > 0}


def test_shards_are_disjoint_and_resharding_costs_no_exchange(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    def start(count: int) -> list[Operator]:
        return [start_operator(options=[f"--shard={index}/{count}"]) for index in range(count)]

    def all_served(operators: list[Operator]) -> bool:
        return set().union(*map(served, operators)) == set(NAMES)

    kube.create_credentials(namespace)
    two = start(2)
    for name in NAMES:
        kube.create_token(namespace, name)
    eventually(lambda: all_served(two), "two shards serve all resources")
    parts = [served(operator) for operator in two]
    assert all(parts)
    assert sum(map(len, parts)) == len(NAMES)
    assert endpoint.exchanges == len(NAMES)

    three = start(3)  # while the two are still running, as in a rolling update
    for operator in two:
        operator.stop()
    eventually(lambda: all_served(three), "three shards serve all resources")
    parts = [served(operator) for operator in three]
    assert sum(map(len, parts)) == len(NAMES)
    assert endpoint.exchanges == len(NAMES)
    kube.create_token(namespace, "new")
    kube.until(namespace, "Ready", "TokenValid", "new")
    assert endpoint.exchanges == len(NAMES) + 1
