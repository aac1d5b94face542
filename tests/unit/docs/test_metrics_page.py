"""docs/metrics.md documents exactly the metrics that /metrics exports."""

import re

from prometheus_client.parser import text_string_to_metric_families

from tests.support.metrics import used_metrics
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
ROWS = re.findall(r"^\| (`pinecone_\w+`) \| (\w+) \| (.*?) ?\| (.+) \|$", PAGE, re.MULTILINE)
_LABELS = ("kind", "namespace", "name", "reason", "outcome", "result", "shard")


def expected_rows() -> list[tuple[str, str, str, str]]:
    """Return the rows that the page should have: name, type, labels and help of each metric."""
    rows = []
    for family in text_string_to_metric_families(used_metrics().render().decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        if not name.startswith("pinecone_"):
            continue  # the Prometheus client's own
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        order = [label for label in _LABELS if label in labels]
        assert set(order) == labels, "add the label to the order in which the page lists them"
        shown = ", ".join(f"`{label}`" for label in order)
        rows.append((f"`{name}`", family.type, shown, family.documentation))
    return rows


def test_metrics_page_has_exactly_one_row_per_metric() -> None:
    expected = expected_rows()
    missing = [row for row in expected if row not in ROWS]
    stale = [row for row in ROWS if row not in expected]

    as_text = "\n".join(f"| {' | '.join(row)} |" for row in missing)
    assert not missing, f"add or correct these rows in docs/metrics.md:\n{as_text}"
    assert not stale, f"docs/metrics.md documents what is not exported: {stale}"
    assert len(ROWS) == len(expected)
