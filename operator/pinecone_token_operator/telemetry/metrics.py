"""The operator's metrics, in a registry of their own."""

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
    ("pinecone_token_expiry_timestamp_seconds", "When the token in the Secret expires."),
    ("pinecone_token_refresh_timestamp_seconds", "When the next refresh is planned."),
    ("pinecone_token_last_refresh_timestamp_seconds", "When the token was last refreshed."),
)

# One more series for each counter and histogram, which nobody asks for and linters dislike.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """What is counted and measured. A key is a resource's (namespace, name)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._times = _TokenTimes()
        self._registry.register(self._times)
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
        self._times.known[key] = tuple(
            moment.timestamp() if moment else None
            for moment in (expires_at, refresh_at, refreshed_at)
        )

    def forget(self, key: tuple[str, str]) -> None:
        """Drop the samples of a resource that is gone."""
        self._times.known.pop(key, None)

    def queue_length(self, length: int) -> None:
        """Show how many resources wait."""
        self._queue_length.set(length)

    def render(self, names: Sequence[str] = ()) -> bytes:
        """Return the samples with these names in the text format of Prometheus; without any, all.

        Safe to call in any thread: with many resources it takes a while.
        """
        if not names:
            return prometheus_client.generate_latest(self._registry)
        return prometheus_client.generate_latest(self._registry.restricted_registry(names))


class _TokenTimes(Collector):
    """Makes three samples of each token when asked; a gauge for each would take 2.5 kB for ever.

    Attributes:
        known: when a token expires, is to be refreshed and was refreshed, in epoch seconds.
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
