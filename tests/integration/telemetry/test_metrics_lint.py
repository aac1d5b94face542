"""promtool, Prometheus' own linter, accepts /metrics."""

import subprocess
from datetime import UTC, datetime, timedelta

from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.telemetry.metrics import Metrics, TokenSample
from tests.support.control_plane import binaries
from tests.support.documented import KIND

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


def test_metrics_pass_the_linter_of_prometheus() -> None:
    metrics = Metrics()
    # A metric without a sample is not shown, and so not checked.
    metrics.token(
        ObjectRef(KIND, "team", "app"),
        TokenSample(
            ready=True,
            refreshed=True,
            reason="Succeeded",
            expires_at=T0 + timedelta(minutes=30),
            refresh_at=T0 + timedelta(minutes=20),
            refreshed_at=T0,
        ),
    )
    metrics.exchange("success", 0.05)
    metrics.reconciled("success")
    metrics.lateness(0.2)
    metrics.queue_length(3)

    assert complaints(metrics.render()) == (0, "")


def test_metrics_linter_finds_a_bad_name() -> None:
    status, output = complaints(b"# TYPE requests counter\nrequests 1\n")

    assert status != 0
    assert "_total" in output
