from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from pinecone_token_operator.telemetry.metrics import CopySample, Metrics, TokenSample
from tests.support.metrics import GOOD, REF, SHARED, T0

LABELS = '{kind="PineconeAccessToken",name="app",namespace="team"}'


def samples(metrics: Metrics) -> dict[str, float]:
    """Return the value of each series."""
    lines = metrics.render().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def of_the_resource(metrics: Metrics) -> dict[str, float]:
    """Return the value of each series of the one resource, without its labels."""
    return {
        name.partition("{")[0]: value
        for name, value in samples(metrics).items()
        if 'name="app",namespace="team"' in name
    }


@pytest.mark.parametrize("result", ["success", "unavailable", "throttled", "rejected", "invalid"])
def test_exchange_result_starts_at_zero_and_is_counted(result: str) -> None:
    metrics = Metrics()
    series = f'pinecone_token_exchanges_total{{result="{result}"}}'
    assert samples(metrics)[series] == 0
    metrics.exchange(result, 0.05)
    assert samples(metrics)[series] == 1
    assert samples(metrics)["pinecone_token_exchange_duration_seconds_count"] == 1


@pytest.mark.parametrize(
    ("act", "name", "value"),
    [
        pytest.param(
            lambda metrics: metrics.reconciled("success"),
            'pinecone_token_reconciles_total{result="success"}',
            1,
            id="reconcile",
        ),
        pytest.param(
            lambda metrics: metrics.lateness(3.0),
            "pinecone_token_refresh_lateness_seconds_sum",
            3,
            id="late refresh",
        ),
        pytest.param(
            lambda metrics: metrics.lateness(-3.0),
            "pinecone_token_refresh_lateness_seconds_sum",
            0,
            id="early refresh is not late",
        ),
        pytest.param(
            lambda metrics: metrics.queue_length(lambda: 7),
            "pinecone_token_queue_length",
            7,
            id="queue length",
        ),
        pytest.param(
            lambda metrics: metrics.leading(leads=True),
            'pinecone_token_leader{shard="0"}',
            1,
            id="leader",
        ),
    ],
)
def test_metrics_report_what_was_recorded(
    act: Callable[[Metrics], None], name: str, value: float
) -> None:
    metrics = Metrics()
    act(metrics)
    assert samples(metrics)[name] == value


def test_leader_of_another_shard_has_its_label_from_the_start() -> None:
    assert samples(Metrics(shard=3))['pinecone_token_leader{shard="3"}'] == 0


def test_token_times_are_reported_as_unix_times() -> None:
    metrics = Metrics()
    metrics.token(REF, GOOD)
    found = samples(metrics)
    for name, minutes in (("expiry", 30), ("refresh", 20), ("last_refresh", 0)):
        moment = T0 + timedelta(minutes=minutes)
        assert found[f"pinecone_token_{name}_timestamp_seconds{LABELS}"] == moment.timestamp()


def test_token_time_has_no_sample_when_it_is_unknown() -> None:
    metrics = Metrics()
    metrics.token(REF, GOOD)
    metrics.token(REF, replace(GOOD, refresh_at=None))
    assert of_the_resource(metrics).keys() == {
        "pinecone_token_expiry_timestamp_seconds",
        "pinecone_token_last_refresh_timestamp_seconds",
        "pinecone_token_ready",
        "pinecone_token_refreshed",
    }
    metrics.token(REF, TokenSample(ready=False, refreshed=False, reason="Rejected"))
    assert of_the_resource(metrics) == {"pinecone_token_ready": 0, "pinecone_token_refreshed": 0}


@pytest.mark.parametrize(("ready", "refreshed"), [(True, True), (True, False), (False, False)])
def test_token_conditions_are_reported_as_one_or_zero(ready: bool, refreshed: bool) -> None:
    metrics = Metrics()
    metrics.token(REF, replace(GOOD, ready=ready, refreshed=refreshed))
    found = of_the_resource(metrics)
    assert found["pinecone_token_ready"] == ready
    assert found["pinecone_token_refreshed"] == refreshed


def test_token_reason_replaces_the_one_before() -> None:
    metrics = Metrics()
    metrics.token(REF, GOOD)
    metrics.token(REF, replace(GOOD, refreshed=False, reason="Unavailable"))
    found = {name for name in samples(metrics) if name.startswith("pinecone_token_refreshed")}
    labels = 'kind="PineconeAccessToken",name="app",namespace="team",reason="Unavailable"'
    assert found == {f"pinecone_token_refreshed{{{labels}}}"}


def test_copies_are_reported_by_outcome() -> None:
    metrics = Metrics()
    metrics.token(REF, GOOD)
    assert "pinecone_token_copies" not in of_the_resource(metrics)
    metrics.token(SHARED, replace(GOOD, copies=CopySample(ready=10, pending=1, failed=2)))
    labels = 'kind="ClusterPineconeAccessToken",name="shared",namespace="",outcome'
    assert {name: value for name, value in samples(metrics).items() if "_copies" in name} == {
        f'pinecone_token_copies{{{labels}="ready"}}': 10,
        f'pinecone_token_copies{{{labels}="pending"}}': 1,
        f'pinecone_token_copies{{{labels}="failed"}}': 2,
    }
    metrics.forget(SHARED)
    assert not [name for name in samples(metrics) if "_copies" in name]


def test_token_has_no_samples_when_forgotten() -> None:
    metrics = Metrics()
    metrics.token(REF, GOOD)
    metrics.forget(REF)
    metrics.forget(REF)
    assert not of_the_resource(metrics)


def test_metrics_of_two_instances_are_independent() -> None:
    Metrics().exchange("success", 1.0)
    assert samples(Metrics())['pinecone_token_exchanges_total{result="success"}'] == 0


def test_metrics_have_no_creation_times() -> None:
    metrics = Metrics()
    metrics.exchange("success", 1.0)
    assert "_created" not in metrics.render().decode()


def test_metrics_can_be_rendered_by_name() -> None:
    metrics = Metrics()
    metrics.token(REF, GOOD)
    text = metrics.render(["pinecone_token_queue_length"]).decode()
    assert [line for line in text.splitlines() if line[0] != "#"] == [
        "pinecone_token_queue_length 0.0"
    ]
    for name in ("pinecone_token_expiry_timestamp_seconds", "pinecone_token_ready"):
        assert f"{name}{LABELS}" in metrics.render([name]).decode()
    named = metrics.render(["pinecone_token_refreshed"]).decode()
    assert (
        'pinecone_token_refreshed{kind="PineconeAccessToken",name="app",namespace="team",' in named
    )


def test_scrape_succeeds_while_resources_come_and_go() -> None:
    metrics = Metrics()
    for number in range(20_000):
        metrics.token(REF._replace(name=f"old-{number}"), GOOD)
    with ThreadPoolExecutor(1) as pool:
        scrape = pool.submit(metrics.render, ["pinecone_token_ready"])
        number = 0
        while not scrape.done():
            metrics.token(REF._replace(name=f"new-{number}"), GOOD)
            metrics.forget(REF._replace(name=f"new-{number - 100}"))
            number += 1
        assert scrape.result().count(b"\n") > 20_000
