"""An admission webhook for Secrets is down, so that the API server refuses every write of one.

Right is: a reason within seconds, one Event, Ready=False at expiry, and one exchange.
"""

from tests.support.admission import dead_webhook
from tests.support.api import Kube, eventually
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint


def test_dead_webhook_is_reported_and_costs_one_exchange(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    endpoint.lifetime = 12
    start_operator()
    kube.create_token(namespace, "old")
    kube.until(namespace, "Ready", "TokenValid", "old")
    with dead_webhook(kube, namespace) as webhook:
        kube.until(namespace, "Refreshed", "TargetNotWritable", "old")
        assert (kube.condition(namespace, "old", "Ready") or {})["status"] == "True"
        kube.create_token(namespace, "new")
        kube.until(namespace, "Refreshed", "TargetNotWritable", "new", timeout=5)
        for name in ("old", "new"):
            message = (kube.condition(namespace, name, "Refreshed") or {})["message"]
            assert f"admission webhook {webhook} failed" in message
        kube.until(namespace, "Ready", "TokenExpired", "old")
        assert endpoint.exchanges == 3
        assert warnings(kube, namespace, "new") == {"TargetNotWritable": 1}
        eventually(
            lambda: warnings(kube, namespace, "old") == {"TargetNotWritable": 1, "TokenExpired": 1},
            "each is recorded once",
        )
    for name in ("old", "new"):
        kube.until(namespace, "Ready", "TokenValid", name)
        kube.until(namespace, "Refreshed", "Succeeded", name)


def warnings(kube: Kube, namespace: str, name: str) -> dict[str, int]:
    """Return how often each Warning about a resource was recorded."""
    events = kube.get(f"/api/v1/namespaces/{namespace}/events") or {}
    found: dict[str, int] = {}
    for event in events["items"]:
        if event["type"] == "Warning" and event["involvedObject"]["name"] == name:
            series = event.get("series") or {}
            count = series.get("count") or event.get("count") or 1
            found[event["reason"]] = found.get(event["reason"], 0) + count
    return found
