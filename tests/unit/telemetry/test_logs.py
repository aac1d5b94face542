import io
import json
import logging
import subprocess
import sys

import pytest

from pinecone_token_operator.keys import ObjectRef
from pinecone_token_operator.telemetry.logs import JsonFormatter, TextFormatter, reads_json
from tests.support.repository import ROOT

SEARCH = ObjectRef("PineconeAccessToken", "team", "search")

PROGRAM = """
import logging, sys
import pinecone_token_operator.watch.kopf_adapter  # its supervisor logs why kopf ended
from pinecone_token_operator.telemetry import logs
logs.set_up(sys.argv[1], "json", {}, sys.stdout)
names = ("pinecone_token_operator.kube", "kubernetes", "httpx", "some.library", "kopf._core")
for name in names:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        logging.getLogger(name).log(level, "%s %s", name, logging.getLevelName(level))
"""


def record(**attributes: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "pinecone_token_operator.kube",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "retrying in %d s",
            "args": (4,),
            "created": 1_795_600_800.25,
            **attributes,
        }
    )


def failed() -> dict[str, object]:
    try:
        int("broken")
    except ValueError:
        return {"exc_info": sys.exc_info()}
    return {}


def test_json_line_has_time_level_logger_and_message() -> None:
    assert json.loads(JsonFormatter().format(record())) == {
        "ts": "2026-11-25T10:00:00.250Z",
        "level": "warning",
        "logger": "pinecone_token_operator.kube",
        "message": "retrying in 4 s",
    }


def test_json_line_has_the_resource_and_the_exception() -> None:
    text = JsonFormatter().format(record(resource=SEARCH, **failed()))
    line = json.loads(text)
    assert line["resource"] == SEARCH._asdict()
    assert line["exception"].endswith(
        "ValueError: invalid literal for int() with base 10: 'broken'"
    )
    assert "\n" not in text


def test_text_line_has_time_level_resource_and_message() -> None:
    text = TextFormatter().format(record(resource=SEARCH, **failed()))
    first, *_, last = text.splitlines()
    assert first == "10:00:00.250 WARNING team/search: retrying in 4 s"
    assert last == "ValueError: invalid literal for int() with base 10: 'broken'"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_auto_format_is_text_on_a_terminal_outside_a_pod() -> None:
    assert not reads_json({}, Terminal())
    assert reads_json({}, io.StringIO())
    assert reads_json({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, Terminal())


@pytest.mark.parametrize(
    ("level", "own", "others"),
    [
        ("debug", ["DEBUG", "INFO", "WARNING"], ["WARNING"]),
        ("info", ["INFO", "WARNING"], ["WARNING"]),
        ("error", [], []),
    ],
)
def test_libraries_log_warnings_at_most_whatever_the_level(
    level: str, own: list[str], others: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, level],
        cwd=ROOT / "operator",
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line)["message"].split() for line in done.stdout.splitlines()]
    found = {name: [text for of, text in lines if of == name] for name, _ in lines}
    expected = {"pinecone_token_operator.kube": own} | dict.fromkeys(
        ("kubernetes", "httpx", "some.library"), others
    )
    assert found == {name: texts for name, texts in expected.items() if texts}
