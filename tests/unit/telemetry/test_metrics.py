from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from pinecone_token_operator.telemetry.metrics import Metrics

T0 = datetime(2026, 11, 25, 12, tzinfo=UTC)
KEY = ("team", "app")
LABELS = '{name="app",namespace="team"}'


def lines(metrics: Metrics) -> list[str]:
    return metrics.render().decode().splitlines()


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(result, id=f"{result} starts at zero")
        for result in ("success", "unavailable", "throttled", "rejected", "invalid")
    ],
)
def test_exchange_result(result: str) -> None:
    metrics = Metrics()
    series = f'pinecone_token_exchanges_total{{result="{result}"}}'
    assert f"{series} 0.0" in lines(metrics)
    metrics.exchange(result, 0.05)
    assert f"{series} 1.0" in lines(metrics)
    assert "pinecone_token_exchange_duration_seconds_count 1.0" in lines(metrics)


@pytest.mark.parametrize(
    ("act", "line"),
    [
        pytest.param(
            lambda metrics: metrics.token(KEY, T0, None, None),
            f"pinecone_token_expiry_timestamp_seconds{LABELS} {T0.timestamp():.8e}",
            id="a token's expiry is shown",
        ),
        pytest.param(
            lambda metrics: metrics.reconciled("unchanged"),
            'pinecone_token_reconciles_total{result="unchanged"} 1.0',
            id="a reconcile is counted",
        ),
        pytest.param(
            lambda metrics: metrics.lateness(3.0),
            "pinecone_token_refresh_lateness_seconds_sum 3.0",
            id="lateness is measured",
        ),
        pytest.param(
            lambda metrics: metrics.lateness(-3.0),
            "pinecone_token_refresh_lateness_seconds_sum 0.0",
            id="an early refresh is not late",
        ),
        pytest.param(
            lambda metrics: metrics.queue_length(7),
            "pinecone_token_queue_length 7.0",
            id="the queue's length is shown",
        ),
    ],
)
def test_after(act: Callable[[Metrics], None], line: str) -> None:
    metrics = Metrics()
    act(metrics)
    name, _, number = line.rpartition(" ")
    shown = {text.rpartition(" ")[0]: float(text.rpartition(" ")[2]) for text in samples(metrics)}
    assert shown[name] == float(number)


def samples(metrics: Metrics) -> list[str]:
    return [line for line in lines(metrics) if not line.startswith("#")]


def test_a_time_that_is_no_longer_known_has_no_sample() -> None:
    metrics = Metrics()
    metrics.token(KEY, T0, T0 - timedelta(minutes=10), T0)
    metrics.token(KEY, T0, None, T0)
    assert sum(LABELS in line for line in samples(metrics)) == 2


def test_a_forgotten_resource_has_no_samples_and_may_be_forgotten_again() -> None:
    metrics = Metrics()
    metrics.token(KEY, T0, T0, T0)
    metrics.forget(KEY)
    metrics.forget(KEY)
    assert not [line for line in samples(metrics) if LABELS in line]


def test_two_instances_share_nothing() -> None:
    Metrics().exchange("success", 1.0)
    assert 'pinecone_token_exchanges_total{result="success"} 0.0' in lines(Metrics())


def test_no_creation_times_are_shown() -> None:
    metrics = Metrics()
    metrics.exchange("success", 1.0)
    assert "_created" not in metrics.render().decode()


def test_samples_can_be_asked_for_by_name() -> None:
    metrics = Metrics()
    metrics.token(KEY, T0, T0, T0)
    text = metrics.render(["pinecone_token_queue_length"]).decode()
    assert [line for line in text.splitlines() if line[0] != "#"] == [
        "pinecone_token_queue_length 0.0"
    ]
    named = metrics.render(["pinecone_token_expiry_timestamp_seconds"]).decode()
    assert LABELS in named
