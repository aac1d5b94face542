"""Every alert of the chart is documented: what it means, and what to do about it."""

import re

import pytest

from tests.support.chart import SCHEMA
from tests.support.documents import section
from tests.support.repository import ROOT

ALERTS = SCHEMA["definitions"]["alert"]["enum"]


@pytest.mark.parametrize(
    ("page", "pattern"),
    [
        ("metrics.md", r"^\| `(Pinecone\w+)` \|"),
        ("troubleshooting.md", r"^### (Pinecone\w+)$"),
    ],
)
def test_page_documents_every_alert_in_schema_order(page: str, pattern: str) -> None:
    found = re.findall(pattern, section(ROOT / "docs" / page, "Alerts"), re.MULTILINE)

    assert found == ALERTS, f"docs/{page}, 'Alerts', should document these alerts in this order"
