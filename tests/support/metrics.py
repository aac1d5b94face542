"""Metrics of a resource with a valid token, for the tests of metrics and their documentation."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.telemetry.metrics import CopySample, Metrics, TokenSample
from tests.support.documented import CLUSTER_KIND, KIND

T0: Final = datetime(2026, 11, 25, 12, tzinfo=UTC)
REF: Final = ObjectRef(KIND, "team", "app")
SHARED: Final = ObjectRef(CLUSTER_KIND, "", "shared")
GOOD: Final = TokenSample(
    ready=True,
    refreshed=True,
    reason="Succeeded",
    expires_at=T0 + timedelta(minutes=30),
    refresh_at=T0 + timedelta(minutes=20),
    refreshed_at=T0,
)


def used_metrics() -> Metrics:
    """Return metrics that have all been used: one without a sample is not exported."""
    metrics = Metrics()
    metrics.token(REF, GOOD)
    metrics.token(SHARED, replace(GOOD, copies=CopySample(ready=10, pending=1, failed=2)))
    metrics.exchange("success", 0.1)
    metrics.reconciled("success")
    metrics.lateness(0.2)
    metrics.queue_length(lambda: 3)
    metrics.leading(leads=True)
    metrics.namespace_served("team", served=True)
    return metrics
