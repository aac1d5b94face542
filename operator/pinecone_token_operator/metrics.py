"""The operator's metrics, in a registry of their own."""

from datetime import datetime
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from pinecone_token_operator.errors import ExchangeFailure

SUCCESS: Final = "success"

# One more series for each counter and histogram, which nobody asks for and linters dislike.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """What is counted and measured. A key is a resource's (namespace, name)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._expiry = self._token_gauge(
            "pinecone_token_expiry_timestamp_seconds", "When the token in the Secret expires."
        )
        self._refresh = self._token_gauge(
            "pinecone_token_refresh_timestamp_seconds", "When the next refresh is planned."
        )
        self._refreshed = self._token_gauge(
            "pinecone_token_last_refresh_timestamp_seconds", "When the token was last refreshed."
        )
        self._exchanges = Counter(
            "pinecone_token_exchanges_total",
            "Requests to the token endpoint, by result.",
            ["result"],
            registry=self._registry,
        )
        for result in (SUCCESS, *ExchangeFailure):
            self._exchanges.labels(str(result))  # a rate needs a first sample at zero
        self._exchange_duration = Histogram(
            "pinecone_token_exchange_duration_seconds",
            "How long a request to the token endpoint took.",
            buckets=(0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 10),
            registry=self._registry,
        )
        self._reconciles = Counter(
            "pinecone_token_reconciles_total",
            "Looks at a resource, by result.",
            ["result"],
            registry=self._registry,
        )
        self._lateness = Histogram(
            "pinecone_token_refresh_lateness_seconds",
            "How long after its planned time a refresh began.",
            buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900),
            registry=self._registry,
        )
        self._queue_length = Gauge(
            "pinecone_token_queue_length",
            "Resources that wait to be looked at.",
            registry=self._registry,
        )

        self._leader = Gauge(
            "pinecone_token_leader",
            "Whether this replica is the one that works (1), or stands by (0).",
            registry=self._registry,
        )

    def leading(self, *, leads: bool) -> None:
        """Show whether this process is the one that works."""
        self._leader.set(leads)

    def exchange(self, result: str, seconds: float) -> None:
        """Count one exchange; the result is `success` or an `ExchangeFailure`."""
        self._exchanges.labels(str(result)).inc()
        self._exchange_duration.observe(seconds)

    def reconciled(self, result: str) -> None:
        """Count one reconcile; results are few and fixed, since each is a series."""
        self._reconciles.labels(str(result)).inc()

    def lateness(self, seconds: float) -> None:
        """Note how long after its planned time a refresh began; early counts as zero."""
        self._lateness.observe(max(0.0, seconds))

    def token(
        self,
        key: tuple[str, str],
        expires_at: datetime | None,
        refresh_at: datetime | None,
        refreshed_at: datetime | None,
    ) -> None:
        """Show a token's times; an unknown one has no sample rather than a false zero."""
        self._show(self._expiry, key, expires_at)
        self._show(self._refresh, key, refresh_at)
        self._show(self._refreshed, key, refreshed_at)

    def forget(self, key: tuple[str, str]) -> None:
        """Drop the samples of a resource that is gone."""
        self.token(key, None, None, None)

    def queue_length(self, length: int) -> None:
        """Show how many resources wait."""
        self._queue_length.set(length)

    def render(self) -> bytes:
        """Return everything in the text format of `prometheus_client.CONTENT_TYPE_LATEST`."""
        return prometheus_client.generate_latest(self._registry)

    def _token_gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, ["namespace", "name"], registry=self._registry)

    @staticmethod
    def _show(gauge: Gauge, key: tuple[str, str], time: datetime | None) -> None:
        # Asked for first, because older releases raise at the removal of what is not there.
        sample = gauge.labels(*key)
        if time is None:
            gauge.remove(*key)
        else:
            sample.set(time.timestamp())
