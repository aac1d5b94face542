"""Probes and metrics of the sidecar."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from prometheus_client import CONTENT_TYPE_LATEST

from pinecone_token_operator.runtime.sidecar.current import Current
from pinecone_token_operator.runtime.sidecar.http_server import HttpRequest, HttpResponse

STUCK_AFTER: Final = timedelta(seconds=60)
"""The loop makes progress each second, and at least as often as a token request times out."""

# Without what only the operator has: a work queue, a leader, namespaces.
_METRICS: Final = (
    "pinecone_token_ready",
    "pinecone_token_refreshed",
    "pinecone_token_expiry_timestamp_seconds",
    "pinecone_token_refresh_timestamp_seconds",
    "pinecone_token_last_refresh_timestamp_seconds",
    "pinecone_token_exchanges_total",
    *(
        f"pinecone_token_{name}_seconds_{part}"
        for name in ("exchange_duration", "refresh_lateness")
        for part in ("bucket", "count", "sum")
    ),
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
)


class HealthServer:
    """Answers probes and scrapes.

    Args:
        current: the token.
        metrics: renders the samples with the given names.
        monotonic: the clock of `current.beat`.
    """

    def __init__(
        self,
        current: Current,
        metrics: Callable[[Sequence[str]], bytes],
        monotonic: Callable[[], float],
    ) -> None:
        self._current = current
        self._metrics = metrics
        self._monotonic = monotonic

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponse(HTTPStatus.METHOD_NOT_ALLOWED, b"use GET\n")
        match request.path:
            case "/startup":
                return _probe(self._current.unpublished())
            case "/livez":
                return _probe(self._stuck())
            case "/readyz":
                return _probe(self._current.not_ready())
            case "/metrics":
                wanted = set(parse_qs(request.query).get("name[]", _METRICS))
                names = [name for name in _METRICS if name in wanted]
                return HttpResponse(HTTPStatus.OK, self._metrics(names), CONTENT_TYPE_LATEST)
        return HttpResponse(HTTPStatus.NOT_FOUND, b"use /startup, /livez, /readyz or /metrics\n")

    def _stuck(self) -> list[str]:
        silent = self._monotonic() - self._current.beat
        if silent < STUCK_AFTER.total_seconds():
            return []
        return [f"the sidecar has made no progress for {silent:.0f} s"]


def _probe(problems: list[str]) -> HttpResponse:
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    return HttpResponse(status, ("\n".join(problems or ["ok"]) + "\n").encode())
