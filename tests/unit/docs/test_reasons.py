"""Every condition reason is documented: a sentence in the README, a section in troubleshooting."""

import re
from pathlib import Path

from pinecone_token_operator.api import conditions
from pinecone_token_operator.api.conditions import Reason
from tests.support.documents import section
from tests.support.repository import ROOT

README = ROOT / "README.md"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
DOCSTRINGS = re.findall(
    r'^    [A-Z_]+ = "(\w+)".*\n    """(.+)"""$',
    Path(conditions.__file__).read_text("utf-8"),
    re.MULTILINE,
)


def test_every_reason_has_a_one_line_docstring() -> None:
    assert [name for name, _ in DOCSTRINGS] == [str(reason) for reason in Reason], (
        "give each member of Reason a docstring of one line below it: README.md repeats it"
    )


def test_readme_repeats_the_docstring_of_every_reason() -> None:
    rows = re.findall(
        r"^\| `([A-Z]\w+)` \| (.+?) \|$", section(README, "Status conditions"), re.MULTILINE
    )
    reasons = [
        row for row in rows if row[0] not in ("Ready", "Refreshed", "TargetsReady", "Stalled")
    ]

    expected = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in DOCSTRINGS)
    assert reasons == DOCSTRINGS, (
        f"the table of reasons in README.md, 'Status conditions', should be\n{expected}"
    )


def test_troubleshooting_has_a_section_per_reason_in_code_order() -> None:
    text = section(TROUBLESHOOTING, "Condition reasons")
    found = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    expected = [str(reason) for reason in Reason]

    assert found == expected, (
        "docs/troubleshooting.md, 'Condition reasons', needs a section '### <reason>' per reason, "
        "in the order of the enum, that says what it means and what to do: "
        f"missing {[name for name in expected if name not in found]}, "
        f"stale {[name for name in found if name not in expected]}"
    )
