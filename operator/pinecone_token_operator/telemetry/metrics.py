"""Prometheus metrics of the operator, kept in their own registry.

docs/metrics.md documents each of them; a test compares the page with this module.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pinecone_token_operator.errors import ExchangeFailure
from pinecone_token_operator.keys import ObjectRef

SUCCESS: Final = "success"


@dataclass(frozen=True, slots=True)
class CopySample:
    """What is reported of the copies of one token.

    Attributes:
        ready: how many hold the current token.
        pending: how many have yet to be written, without a failure.
        failed: how many could not be written or removed.
    """

    ready: int
    pending: int
    failed: int


@dataclass(frozen=True, slots=True)
class TokenSample:
    """What is reported of one resource.

    Attributes:
        ready: whether its target holds a valid token.
        refreshed: whether the latest refresh succeeded.
        reason: of the condition Refreshed.
        expires_at: when the token expires; None if there is none.
        refresh_at: when it is to be refreshed; None if that is not scheduled.
        refreshed_at: when it was requested.
        copies: of the token, if the resource has many targets.
    """

    ready: bool
    refreshed: bool
    reason: str
    expires_at: datetime | None = None
    refresh_at: datetime | None = None
    refreshed_at: datetime | None = None
    copies: CopySample | None = None


_TOKEN_TIMES: Final[tuple[tuple[str, str, Callable[[TokenSample], datetime | None]], ...]] = (
    (
        "pinecone_token_expiry_timestamp_seconds",
        "Unix time at which the token in the target Secret expires.",
        attrgetter("expires_at"),
    ),
    (
        "pinecone_token_refresh_timestamp_seconds",
        "Unix time of the next scheduled refresh; absent while the resource is suspended.",
        attrgetter("refresh_at"),
    ),
    (
        "pinecone_token_last_refresh_timestamp_seconds",
        "Unix time at which the token in the target Secret was fetched.",
        attrgetter("refreshed_at"),
    ),
)

# The labels that name a resource.
_RESOURCE: Final = ("kind", "namespace", "name")
_OUTCOMES: Final = ("ready", "pending", "failed")

# Each counter and histogram would get another series that nobody queries and linters reject.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Records what the operator does and renders it for a scrape.

    Args:
        shard: index of the shard that this process serves.
    """

    def __init__(self, shard: int = 0) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._tokens = _TokenCollector()
        self._registry.register(self._tokens)
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

        self._namespace_served = Gauge(
            "pinecone_token_namespace_served",
            "1 if the operator can list and watch a namespace, else 0; empty means all namespaces.",
            ["namespace"],
            registry=self._registry,
        )
        # Only here: alerts and dashboards join the other metrics of a replica with this one.
        self._leader = Gauge(
            "pinecone_token_leader",
            "1 if this replica is the leader of its shard, 0 otherwise.",
            ["shard"],
            registry=self._registry,
        ).labels(str(shard))

    def namespace_served(self, namespace: str | None, served: bool) -> None:  # noqa: FBT001 - as WatchHealth calls it
        """Set whether a namespace, or all of them, can be listed and watched."""
        self._namespace_served.labels(namespace or "").set(served)

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

    def token(self, ref: ObjectRef, sample: TokenSample) -> None:
        """Set the samples of a resource; an unknown time has none rather than a false zero."""
        self._tokens.put(ref, sample)

    def forget(self, ref: ObjectRef) -> None:
        """Drop the samples of a resource that is gone."""
        self._tokens.forget(ref)

    def queue_length(self, length: Callable[[], int]) -> None:
        """Set how the length of the work queue is found out, which is done at each scrape.

        Args:
            length: safe to call from any thread.
        """
        self._queue_length.set_function(length)

    def render(self, names: Sequence[str] = ()) -> bytes:
        """Return samples in the Prometheus text format: those with the given names, or all.

        Safe to call from any thread, which matters because many resources take a while to render.
        """
        if not names:
            return prometheus_client.generate_latest(self._registry)
        return prometheus_client.generate_latest(self._registry.restricted_registry(names))


class _TokenCollector(Collector):
    """Makes the samples of each resource when scraped; a gauge for each would take 2.5 kB.

    A scrape runs in a thread of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: dict[ObjectRef, TokenSample] = {}

    def put(self, ref: ObjectRef, sample: TokenSample) -> None:
        """Set the sample of a resource."""
        with self._lock:
            self._samples[ref] = sample

    def forget(self, ref: ObjectRef) -> None:
        """Drop the sample of a resource."""
        with self._lock:
            self._samples.pop(ref, None)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield each gauge without samples."""
        for name, documentation, *_ in _TOKEN_TIMES:
            yield GaugeMetricFamily(name, documentation, labels=_RESOURCE)
        yield _ready_family()
        yield _refreshed_family()
        yield _copies_family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each gauge with the samples of all resources."""
        with self._lock:
            found = self._samples.copy()
        samples = [((ref.kind, ref.namespace, ref.name), sample) for ref, sample in found.items()]
        for name, documentation, read in _TOKEN_TIMES:
            gauge = GaugeMetricFamily(name, documentation, labels=_RESOURCE)
            for labels, sample in samples:
                moment = read(sample)
                if moment is not None:
                    gauge.add_metric(labels, moment.timestamp())
            yield gauge
        ready, refreshed, copies = _ready_family(), _refreshed_family(), _copies_family()
        for labels, sample in samples:
            ready.add_metric(labels, float(sample.ready))
            refreshed.add_metric((*labels, sample.reason), float(sample.refreshed))
            if sample.copies is not None:
                for outcome in _OUTCOMES:
                    copies.add_metric((*labels, outcome), float(getattr(sample.copies, outcome)))
        yield ready
        yield refreshed
        yield copies


def _ready_family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "pinecone_token_ready",
        "1 if the target Secret holds a valid token, 0 otherwise.",
        labels=_RESOURCE,
    )


def _refreshed_family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "pinecone_token_refreshed",
        "1 if the latest refresh succeeded, 0 otherwise; the reason is that of the condition.",
        labels=[*_RESOURCE, "reason"],
    )


def _copies_family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "pinecone_token_copies",
        "Copies of the token of a ClusterPineconeAccessToken, by outcome.",
        labels=[*_RESOURCE, "outcome"],
    )
