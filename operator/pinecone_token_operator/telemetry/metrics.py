"""Prometheus metrics of the operator, kept in their own registry.

docs/metrics.md documents each of them; a test compares the page with this module.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pinecone_token_operator.errors import ExchangeFailure

SUCCESS: Final = "success"

_TOKEN_TIMES: Final = (
    (
        "pinecone_token_expiry_timestamp_seconds",
        "Unix time at which the token in the target Secret expires.",
    ),
    (
        "pinecone_token_refresh_timestamp_seconds",
        "Unix time of the next scheduled refresh; absent while the resource is suspended.",
    ),
    (
        "pinecone_token_last_refresh_timestamp_seconds",
        "Unix time at which the token in the target Secret was fetched.",
    ),
)

# Each counter and histogram would get another series that nobody queries and linters reject.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Records what the operator does and renders it for a scrape.

    Keys are a resource's (namespace, name).
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._times = _TokenTimes()
        self._registry.register(self._times)
        self._exchanges = Counter(
            "pinecone_token_exchanges_total",
            "Total requests to the token endpoint, by result.",
            ["result"],
            registry=self._registry,
        )
        for result in (SUCCESS, *ExchangeFailure):
            self._exchanges.labels(str(result))  # a rate needs a first sample at zero
        self._exchange_duration = Histogram(
            "pinecone_token_exchange_duration_seconds",
            "Duration of requests to the token endpoint.",
            buckets=(0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 10),
            registry=self._registry,
        )
        self._reconciles = Counter(
            "pinecone_token_reconciles_total",
            "Total reconciles, by result.",
            ["result"],
            registry=self._registry,
        )
        self._lateness = Histogram(
            "pinecone_token_refresh_lateness_seconds",
            "Delay between the scheduled time of a refresh and its start.",
            buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900),
            registry=self._registry,
        )
        self._queue_length = Gauge(
            "pinecone_token_queue_length",
            "Resources waiting in the work queue.",
            registry=self._registry,
        )

        self._leader = Gauge(
            "pinecone_token_leader",
            "1 if this replica is the leader, 0 otherwise.",
            registry=self._registry,
        )

    def leading(self, *, leads: bool) -> None:
        """Set whether this replica is the leader."""
        self._leader.set(leads)

    def exchange(self, result: str, seconds: float) -> None:
        """Count one exchange; `result` is `success` or an `ExchangeFailure`."""
        self._exchanges.labels(str(result)).inc()
        self._exchange_duration.observe(seconds)

    def reconciled(self, result: str) -> None:
        """Count one reconcile; keep the set of results small, because each is a series."""
        self._reconciles.labels(str(result)).inc()

    def lateness(self, seconds: float) -> None:
        """Record how late a refresh started, in seconds; an early start counts as zero."""
        self._lateness.observe(max(0.0, seconds))

    def token(
        self,
        key: tuple[str, str],
        expires_at: datetime | None,
        refresh_at: datetime | None,
        refreshed_at: datetime | None,
    ) -> None:
        """Set a token's times; an unknown time has no sample instead of a misleading zero."""
        self._times.known[key] = tuple(
            moment.timestamp() if moment else None
            for moment in (expires_at, refresh_at, refreshed_at)
        )

    def forget(self, key: tuple[str, str]) -> None:
        """Drop the samples of a deleted resource."""
        self._times.known.pop(key, None)

    def queue_length(self, length: int) -> None:
        """Set the length of the work queue."""
        self._queue_length.set(length)

    def render(self, names: Sequence[str] = ()) -> bytes:
        """Return samples in the Prometheus text format: those with the given names, or all.

        Safe to call from any thread, which matters because many resources take a while to render.
        """
        if not names:
            return prometheus_client.generate_latest(self._registry)
        return prometheus_client.generate_latest(self._registry.restricted_registry(names))


class _TokenTimes(Collector):
    """Generates three samples per token at scrape time; as gauges they would cost 2.5 kB per token.

    Attributes:
        known: expiry, next refresh and last refresh of each token, in Unix seconds.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], tuple[float | None, ...]] = {}

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield each gauge without samples."""
        for name, documentation in _TOKEN_TIMES:
            yield GaugeMetricFamily(name, documentation, labels=["namespace", "name"])

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each gauge with the samples of all tokens."""
        known = list(self.known.items())
        for number, gauge in enumerate(self.describe()):
            for key, times in known:
                moment = times[number]
                if moment is not None:
                    gauge.add_metric(key, moment)
            yield gauge
