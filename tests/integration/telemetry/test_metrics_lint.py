"""Metrics parse, and their names follow Prometheus' conventions.

https://prometheus.io/docs/practices/naming/, as `promtool check metrics` reads it.
"""

import re
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.metrics import used_metrics

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
TYPES = {"counter", "gauge", "histogram", "summary"}
# Another unit than the base unit, and what to use instead.
UNITS = {
    **dict.fromkeys(("nanoseconds", "microseconds", "milliseconds", "minutes", "hours"), "seconds"),
    **dict.fromkeys(("days", "weeks", "ms", "sec", "secs"), "seconds"),
    **dict.fromkeys(("bits", "kilobytes", "megabytes", "gigabytes", "kb", "mb"), "bytes"),
    "percent": "ratio",
}
RESERVED = ("_bucket", "_count", "_sum")


def complaints(text: str) -> list[str]:
    """Return what is wrong with the names of metrics in the text format."""
    # Only here a counter's name is whole: the parser takes off its suffix.
    declared = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    found = [each for name, kind in declared for each in _name_complaints(name, kind)]
    names = [name for name, _ in declared]
    found += [f"{name} is declared twice" for name in set(names) if names.count(name) > 1]
    families = list(text_string_to_metric_families(text))
    return found + [each for family in families for each in _family_complaints(family)]


def _name_complaints(name: str, kind: str) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"{name} is not in snake_case"
    words = name.split("_")
    if (kind == "counter") != (words[-1] == "total"):
        yield f"{name}, a {kind}, {'must' if kind == 'counter' else 'must not'} end in _total"
    if kind != "counter" and name.endswith(RESERVED):
        yield f"{name}, a {kind}, has the suffix of a part of a histogram"
    yield from (f"{name} names its type" for word in words if word in TYPES)
    yield from (f"{name}: use {UNITS[word]}" for word in words if word in UNITS)


def _family_complaints(family: Metric) -> Iterator[str]:
    if family.type not in TYPES:
        yield f"{family.name} has no type"
    if not family.documentation.strip():
        yield f"{family.name} has no help"
    for label in {label for sample in family.samples for label in sample.labels}:
        if not NAME.fullmatch(label):
            yield f"{family.name}: the label {label} is not in snake_case"
        if (label, family.type) in {("le", "gauge"), ("le", "counter"), ("quantile", "gauge")}:
            yield f"{family.name}: the label {label} is reserved"


def test_metric_names_follow_the_conventions() -> None:
    assert complaints(used_metrics().render().decode()) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(
            "# HELP requests Help.\n# TYPE requests counter\nrequests 1\n",
            "requests, a counter, must end in _total",
            id="a counter without _total",
        ),
        pytest.param(
            "# HELP waiting_total Help.\n# TYPE waiting_total gauge\nwaiting_total 1\n",
            "waiting_total, a gauge, must not end in _total",
            id="a gauge with _total",
        ),
        pytest.param(
            "# HELP queueLength Help.\n# TYPE queueLength gauge\nqueueLength 1\n",
            "queueLength is not in snake_case",
            id="camel case",
        ),
        pytest.param(
            "# HELP age_minutes Help.\n# TYPE age_minutes gauge\nage_minutes 1\n",
            "age_minutes: use seconds",
            id="not a base unit",
        ),
        pytest.param(
            "# HELP token_count Help.\n# TYPE token_count gauge\ntoken_count 1\n",
            "token_count, a gauge, has the suffix of a part of a histogram",
            id="a histogram's suffix",
        ),
        pytest.param(
            "# HELP token_gauge Help.\n# TYPE token_gauge gauge\ntoken_gauge 1\n",
            "token_gauge names its type",
            id="the type in the name",
        ),
        pytest.param("# TYPE age gauge\nage 1\n", "age has no help", id="no help"),
        pytest.param("# HELP age Help.\nage 1\n", "age has no type", id="no type"),
        pytest.param(
            '# HELP age Help.\n# TYPE age gauge\nage{Name="a"} 1\n',
            "age: the label Name is not in snake_case",
            id="a label in capitals",
        ),
        pytest.param(
            '# HELP age Help.\n# TYPE age gauge\nage{le="a"} 1\n',
            "age: the label le is reserved",
            id="a reserved label",
        ),
    ],
)
def test_bad_metric_name_is_reported(text: str, complaint: str) -> None:
    assert complaints(text) == [complaint]


def test_malformed_metrics_are_reported() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        complaints("# HELP age Help.\n# TYPE age gauge\nage one\n")
