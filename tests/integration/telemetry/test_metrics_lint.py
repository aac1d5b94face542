"""Prometheus' own checker finds nothing to complain about in what /metrics shows."""

import subprocess
from datetime import UTC, datetime, timedelta

from pinecone_token_operator.telemetry.metrics import Metrics
from tests.support.control_plane import binaries

T0 = datetime(2026, 11, 25, 12, tzinfo=UTC)


def complaints(text: bytes) -> tuple[int, str]:
    """Return promtool's exit status and all that it printed."""
    done = subprocess.run(
        [str(binaries("promtool")["promtool"]), "check", "metrics"],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def test_the_metrics_are_named_as_prometheus_wants_them() -> None:
    metrics = Metrics()
    # A metric without a sample is not shown, and so not checked.
    metrics.token(("team", "app"), T0 + timedelta(minutes=30), T0 + timedelta(minutes=20), T0)
    metrics.exchange("success", 0.05)
    metrics.reconciled("unchanged")
    metrics.lateness(0.2)
    metrics.queue_length(3)

    assert complaints(metrics.render()) == (0, "")


def test_a_bad_name_would_be_found() -> None:
    status, said = complaints(b"# TYPE requests counter\nrequests 1\n")

    assert status != 0
    assert "_total" in said
