"""Alerts fire when they should; alerts, dashboard and documented queries use existing metrics."""

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
from tests.support.documents import blocks
from tests.support.repository import ROOT

pytestmark = pytest.mark.programs("helm", "alerts", "monitors")

CASES = ROOT / "tests" / "chart" / "alerts.yaml"
CASES_OF_SHARDS = ROOT / "tests" / "chart" / "alerts-shards.yaml"
METRICS_PAGE = ROOT / "docs" / "metrics.md"
EXPORTED = re.findall(r"^# TYPE (\S+) ", Metrics().render().decode(), re.MULTILINE)
DASHBOARD: dict[str, Any] = json.loads(
    (CHART / "files" / "grafana-dashboard.json").read_text("utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def alerts(*arguments: str) -> str:
    """Return the complaints of Prometheus' own packages about rules, or about cases of them."""
    done = subprocess.run(
        [str(binaries("alerts")["alerts"]), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == bool(done.stdout)
    return done.stdout


def groups(shards: int = 1) -> list[dict[str, Any]]:
    values = f"metrics.prometheusRule.enabled=true,shards={shards}"
    options = ("--set", values, "--namespace", "operator")
    found: list[dict[str, Any]] = of_kind(objects(*options), "PrometheusRule")["spec"]["groups"]
    return found


def names_in(expression: str) -> set[str]:
    """Return the names of the metric families in an expression."""
    found = re.findall(r"\b(?:pinecone|process)_\w+", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def read_strictly(found: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Decode an object strictly into the Prometheus Operator's Go type."""
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
        ("pod-monitor", {"PodMonitor", "PrometheusRule"}),
    ],
)
def test_monitors_have_only_fields_of_the_prometheus_operator(name: str, kinds: set[str]) -> None:
    found = [each for each in objects(*row(name)) if each["kind"] in kinds]
    assert {each["kind"] for each in found} == kinds

    for each in found:
        answer = read_strictly(each)
        assert answer.returncode == 0, answer.stdout


def test_unknown_monitor_field_is_rejected() -> None:
    monitor = of_kind(objects(*row("everything")), "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["intervall"] = "1m"

    answer = read_strictly(monitor)

    assert answer.returncode == 1
    assert 'unknown field "intervall"' in answer.stdout


def relabeled(configs: list[dict[str, Any]], series: list[dict[str, str]], path: Path) -> Any:
    """Have Prometheus' own code relabel series, with the configuration of a monitor."""
    snake = [
        {re.sub(r"([A-Z])", r"_\1", name).lower(): value for name, value in config.items()}
        for config in configs
    ]
    path.write_text(yaml.safe_dump({"configs": snake, "series": series}), "utf-8")
    done = subprocess.run(
        [str(binaries("alerts")["alerts"]), "relabel", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    return yaml.safe_load(done.stdout)


def scrape(kind: str) -> dict[str, Any]:
    monitor, endpoints = (
        f"{kind[0].lower()}{kind[1:]}",
        {
            "PodMonitor": "podMetricsEndpoints",
            "ServiceMonitor": "endpoints",
        },
    )
    found = objects("--set", f"metrics.{monitor}.enabled=true")
    (endpoint,) = of_kind(found, kind)["spec"][endpoints[kind]]
    return dict(endpoint)


# What `enforcedNamespaceLabel: namespace` appends to every monitor's metric relabeling.
# https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusSpec
ENFORCED = {"targetLabel": "namespace", "replacement": "operator"}
EXPIRY = {"__name__": "pinecone_token_expiry_timestamp_seconds", "name": "app"}
SERVED = {"__name__": "pinecone_token_namespace_served"}


@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
@pytest.mark.parametrize("labels", [EXPIRY, SERVED], ids=lambda one: one["__name__"])
def test_resource_namespace_survives_an_enforced_namespace(
    kind: str, labels: dict[str, str], tmp_path: Path
) -> None:
    series = [{**labels, "namespace": name} for name in ("team", "other")]

    found = relabeled(
        [*scrape(kind)["metricRelabelings"], ENFORCED], series, tmp_path / "series.yaml"
    )

    # As in the cases of the alerts, which fire for the right resource then.
    assert found == [
        {**labels, "namespace": "operator", "exported_namespace": name}
        for name in ("team", "other")
    ]


def test_namespace_that_prometheus_moved_is_kept(tmp_path: Path) -> None:
    series = [{**EXPIRY, "namespace": "operator", "exported_namespace": "team"}]

    found = relabeled(
        [*scrape("PodMonitor")["metricRelabelings"], ENFORCED], series, tmp_path / "series.yaml"
    )

    assert found == series


def test_other_metrics_are_not_relabeled(tmp_path: Path) -> None:
    series = [{"__name__": "pinecone_token_leader", "namespace": "operator"}]

    found = relabeled(scrape("PodMonitor")["metricRelabelings"], series, tmp_path / "series.yaml")

    assert found == series


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups()}), "utf-8")
    return path


def test_rules_are_valid(rules: Path) -> None:
    assert alerts("check", str(rules)) == ""


@pytest.fixture
def rules_of_two_shards(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups(shards=2)}), "utf-8")
    return path


def run_cases(rules: Path, text: str) -> str:
    path = rules.with_name("cases.yaml")
    path.write_text(text, "utf-8")
    return alerts("test", str(path))


def test_alerts_fire_as_in_the_cases(rules: Path) -> None:
    assert run_cases(rules, CASES.read_text("utf-8")) == ""


def test_alerts_name_the_shard(rules_of_two_shards: Path) -> None:
    assert alerts("check", str(rules_of_two_shards)) == ""
    assert run_cases(rules_of_two_shards, CASES_OF_SHARDS.read_text("utf-8")) == ""


def test_every_shard_has_an_alert_for_its_leader() -> None:
    (group,) = groups(shards=100)

    found = [rule for rule in group["rules"] if rule["alert"] == "PineconeTokenOperatorDown"]
    assert [rule["labels"]["shard"] for rule in found] == [str(index) for index in range(100)]
    for index, rule in enumerate(found):
        assert f'{{namespace="operator", shard="{index}"}} == 1' in rule["expr"]


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        pytest.param(
            "{eval_time: 30m, alertname: PineconeTokenExpired}",
            "{eval_time: 31m, alertname: PineconeTokenExpired}",
            "PineconeTokenExpired at 31m:\n  expected: \n  firing: {",
            id="an alert that fires",
        ),
        pytest.param(
            "- eval_time: 26m\n        alertname: PineconeTokenExpiringSoon",
            "- eval_time: 25m\n        alertname: PineconeTokenExpiringSoon",
            "PineconeTokenExpiringSoon at 25m:\n  expected: {",
            id="an alert that is silent",
        ),
        pytest.param(
            "summary: A Pinecone access token has expired.",
            "summary: A Pinecone access token has gone.",
            "A Pinecone access token has gone.",
            id="an annotation that differs",
        ),
        pytest.param(
            "{namespace: operator, severity: critical}",
            "{namespace: operator, severity: warning}",
            'severity="warning"',
            id="a label that differs",
        ),
        pytest.param(
            "{eval_time: 4m, alertname: PineconeTokenOperatorDown}",
            "{eval_time: 4m, alertname: Typo}",
            'no rule has the alert "Typo"',
            id="an alert that does not exist",
        ),
        pytest.param("input_series:", "inputs:", "field inputs not found", id="a typo"),
    ],
)
def test_wrong_alert_case_is_reported(rules: Path, was: str, becomes: str, complaint: str) -> None:
    text = CASES.read_text("utf-8")
    assert was in text

    assert complaint in run_cases(rules, text.replace(was, becomes, 1))


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        pytest.param({"alert": "A", "expr": "rate(x)"}, "parse error", id="an expression"),
        pytest.param(
            {"alert": "A", "expr": "x", "annotations": {"a": "{{ typo 1 }}"}},
            'function "typo" not defined',
            id="a template",
        ),
        pytest.param({"alert": "A", "expr": "x", "four": "5m"}, "field four not found", id="a key"),
    ],
)
def test_bad_rule_is_reported(rules: Path, rule: dict[str, Any], complaint: str) -> None:
    rules.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}), "utf-8")

    assert complaint in alerts("check", str(rules))


@pytest.mark.parametrize("alert", SCHEMA["definitions"]["alert"]["enum"])
def test_cases_cover_alert_firing_and_silent(alert: str) -> None:
    cases = yaml.safe_load(CASES.read_text("utf-8"))["tests"]
    seen = [one for case in cases for one in case["alert_rule_test"] if one["alertname"] == alert]

    assert {bool(one.get("exp_alerts")) for one in seen} == {True, False}


def test_schema_lists_every_alert_in_order() -> None:
    (group,) = groups()

    assert [rule["alert"] for rule in group["rules"]] == SCHEMA["definitions"]["alert"]["enum"]


def test_alerts_use_existing_metrics() -> None:
    (group,) = groups()
    asked = set().union(*(names_in(rule["expr"]) for rule in group["rules"]))

    assert asked <= set(EXPORTED)


@pytest.mark.parametrize("panel", [pytest.param(one, id=one["title"]) for one in PANELS])
def test_panel_is_valid_and_uses_existing_metrics(panel: dict[str, Any], tmp_path: Path) -> None:
    expressions = [target["expr"] for target in panel["targets"]]

    assert set().union(*map(names_in, expressions)) <= set(EXPORTED)
    # As Grafana sends them, with its variables filled in.
    assert_valid([one.replace("$__rate_interval", "5m") for one in expressions], tmp_path)


@pytest.mark.parametrize("query", [block.text for block in blocks(METRICS_PAGE, "promql")])
def test_documented_query_is_valid_and_uses_existing_metrics(query: str, tmp_path: Path) -> None:
    assert names_in(query) <= set(EXPORTED)
    assert_valid([query], tmp_path)


def assert_valid(expressions: list[str], directory: Path) -> None:
    """Have Prometheus parse the expressions, as recording rules."""
    records = [{"record": f"query_{n}", "expr": one} for n, one in enumerate(expressions)]
    path = directory / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": records}]}), "utf-8")
    assert alerts("check", str(path)) == ""


def test_dashboard_shows_every_metric() -> None:
    shown = set().union(*(names_in(target["expr"]) for one in PANELS for target in one["targets"]))

    # Follows from the expiry and the refresh time.
    unshown = {"pinecone_token_last_refresh_timestamp_seconds"}
    assert {name for name in EXPORTED if name.startswith("pinecone_")} - unshown <= shown
