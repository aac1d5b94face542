"""Compares every sentence that users may read with a reviewed file.

If a change of the wording is intended, update the file and review the diff:

    make snapshots
"""

import os
from collections.abc import Iterator

from pinecone_token_operator.api.conditions import Reason
from tests.support.repository import ROOT
from tests.support.sentences import failures, interfaces, source, status

SNAPSHOT = ROOT / "tests" / "snapshots" / "user_visible_sentences.txt"
RENEW = os.environ.get("RENEW_SNAPSHOTS") == "1"


def sections() -> Iterator[tuple[str, list[str]]]:
    yield "Condition reasons", list(interfaces.reasons())
    yield "Conditions and Events", list(status.status_sentences())
    yield "Unusable credentials", failures.credentials_problems()
    yield "Unreadable targets", failures.read_problems()
    yield "Token requests: unusable replies", failures.request_problems()
    yield "Token requests: connection problems", failures.connection_problems()
    yield "Refused writes", failures.refused_writes()
    yield "Altered writes", failures.altered_writes()
    yield "Help", list(interfaces.help_texts())
    yield "Metrics", list(interfaces.metric_help())
    yield "Alerts", list(interfaces.alerts())
    yield "Make targets", list(interfaces.make_targets())
    for module, found in source.source_sentences():
        yield f"Source: {module}", found


def rendered() -> str:
    return "\n".join(
        f"== {title}\n" + "".join(f"{line}\n" for line in lines) for title, lines in sections()
    )


def test_user_visible_sentences_match_the_reviewed_file() -> None:
    found = rendered()
    if RENEW:
        SNAPSHOT.write_text(found, "utf-8")

    assert found == SNAPSHOT.read_text("utf-8"), "if the change is intended, run: make snapshots"


def test_reviewed_sentences_cover_every_condition_reason() -> None:
    examples = rendered().partition("== Conditions and Events")[2]

    missing = [reason for reason in Reason if f"{reason}: " not in examples]
    # Their sentences are in `Source`: an exception in the operator's own code has no example.
    assert missing == [Reason.INTERNAL_ERROR]
