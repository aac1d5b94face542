"""The alerts fire when they should, and alerts and dashboard ask for metrics that there are."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pinecone_token_operator.telemetry.metrics import Metrics
from tests.support.chart import CHART, SCHEMA, objects, of_kind, row
from tests.support.control_plane import binaries
from tests.support.repository import ROOT

CASES = ROOT / "tests" / "chart" / "alerts.yaml"
EXPORTED = re.findall(r"^# TYPE (\S+) ", Metrics().render().decode(), re.MULTILINE)
DASHBOARD: dict[str, Any] = json.loads(
    (CHART / "files" / "grafana-dashboard.json").read_text("utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [str(binaries("promtool")["promtool"]), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def groups() -> list[dict[str, Any]]:
    options = ("--set", "metrics.prometheusRule.enabled=true", "--namespace", "operator")
    found: list[dict[str, Any]] = of_kind(objects(*options), "PrometheusRule")["spec"]["groups"]
    return found


def names_in(expression: str) -> set[str]:
    """Return the metrics in an expression, by the family that /metrics shows."""
    found = re.findall(r"\b(?:pinecone|process)_\w+", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def read_strictly(found: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Read an object into the Prometheus Operator's own type."""
    return subprocess.run(
        [str(binaries("monitors")["monitors"])],
        input=yaml.safe_dump(found),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("everything", {"ServiceMonitor", "PrometheusRule"}),
        ("pods-scraped", {"PodMonitor", "PrometheusRule"}),
    ],
)
def test_the_prometheus_operator_knows_every_field(name: str, kinds: set[str]) -> None:
    found = [each for each in objects(*row(name)) if each["kind"] in kinds]
    assert {each["kind"] for each in found} == kinds

    for each in found:
        answer = read_strictly(each)
        assert answer.returncode == 0, answer.stdout


def test_an_unknown_field_would_be_found() -> None:
    monitor = of_kind(objects(*row("everything")), "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["intervall"] = "1m"

    answer = read_strictly(monitor)

    assert answer.returncode == 1
    assert 'unknown field "intervall"' in answer.stdout


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups()}), "utf-8")
    return path


def test_prometheus_takes_the_rules(rules: Path) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))


def test_the_alerts_fire_when_they_should_and_at_no_other_time(rules: Path) -> None:
    cases = rules.with_name("cases.yaml")
    cases.write_text(CASES.read_text("utf-8"), "utf-8")

    promtool("test", "rules", str(cases))


@pytest.mark.parametrize("alert", SCHEMA["definitions"]["alert"]["enum"])
def test_the_alert_is_seen_to_fire_and_to_be_silent(alert: str) -> None:
    cases = yaml.safe_load(CASES.read_text("utf-8"))["tests"]
    seen = [one for case in cases for one in case["alert_rule_test"] if one["alertname"] == alert]

    assert {bool(one.get("exp_alerts")) for one in seen} == {True, False}


def test_the_schema_knows_every_alert() -> None:
    (group,) = groups()

    assert [rule["alert"] for rule in group["rules"]] == SCHEMA["definitions"]["alert"]["enum"]


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    (group,) = groups()
    asked = set().union(*(names_in(rule["expr"]) for rule in group["rules"]))

    assert asked <= set(EXPORTED)


@pytest.mark.parametrize("panel", [pytest.param(one, id=one["title"]) for one in PANELS])
def test_the_panel_asks_for_metrics_that_there_are(panel: dict[str, Any], tmp_path: Path) -> None:
    expressions = [target["expr"] for target in panel["targets"]]

    assert set().union(*map(names_in, expressions)) <= set(EXPORTED)
    # Prometheus parses them once Grafana has filled in its variables.
    filled = [one.replace("$__rate_interval", "5m") for one in expressions]
    records = [{"record": f"panel_{n}", "expr": one} for n, one in enumerate(filled)]
    path = tmp_path / "panel.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panel", "rules": records}]}), "utf-8")
    promtool("check", "rules", str(path))


def test_the_dashboard_shows_every_metric_of_the_operator() -> None:
    shown = set().union(*(names_in(target["expr"]) for one in PANELS for target in one["targets"]))

    # When a token was last refreshed follows from the others.
    unshown = {"pinecone_token_last_refresh_timestamp_seconds"}
    assert {name for name in EXPORTED if name.startswith("pinecone_")} - unshown <= shown
