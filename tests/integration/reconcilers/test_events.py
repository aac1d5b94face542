"""The Events of a resource: each failure and recovery is recorded once."""

from typing import Any

from tests.support.api import Kube, eventually, secret_path, token_path
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint


def test_events_report_issue_each_failure_and_recovery(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    kube.create_credentials(namespace)
    uid = kube.create_token(namespace)["metadata"]["uid"]
    eventually(lambda: seen(kube, namespace) == {("Normal", "Issued"): 1}, "the first token")

    for times in (1, 2):
        endpoint.mode = "401"
        change_credentials(kube, namespace, f"wrong-{times}")
        rejected = ("Warning", "Rejected")
        eventually(lambda: seen(kube, namespace).get(rejected) == times, "the rejection")  # noqa: B023 - called at once
        endpoint.mode = "ok"
        change_credentials(kube, namespace, f"right-{times}")
        recovered = ("Normal", "Recovered")
        eventually(lambda: seen(kube, namespace).get(recovered) == times, "the recovery")  # noqa: B023 - called at once

    # Neither a routine refresh nor a restart is recorded.
    before = seen(kube, namespace)
    operator.stop()
    operator.start()
    exchanges = endpoint.exchanges
    asked = {"pinecone.token-operator.dev/refresh-requested-at": "2026-01-01T00:00:00Z"}
    kube.patch(token_path(namespace, "search"), {"metadata": {"annotations": asked}})
    change_credentials(kube, namespace, "another")
    eventually(lambda: endpoint.exchanges > exchanges, "a refresh")
    kube.create_token(namespace, "later")
    eventually(lambda: len(events(kube, namespace)) == len(before) + 1, "the next Event")
    assert {**seen(kube, namespace), ("Normal", "Issued"): 1} == before

    for event in events(kube, namespace):
        assert event["source"]["component"] == "pinecone-token-operator"
    assert sum(event["involvedObject"]["uid"] == uid for event in events(kube, namespace)) == 3


def change_credentials(kube: Kube, namespace: str, client_id: str) -> None:
    kube.patch(secret_path(namespace, "account"), {"stringData": {"client_id": client_id}})


def events(kube: Kube, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (kube.get(f"/api/v1/namespaces/{namespace}/events") or {})[
        "items"
    ]
    return found


def seen(kube: Kube, namespace: str) -> dict[tuple[str, str], int]:
    """Return how often each Event was seen, by type and reason."""
    return {(one["type"], one["reason"]): one["count"] for one in events(kube, namespace)}
