"""The inputs that `make fuzz` has kept, and a few of those that it would try."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.inputs import inputs
from tests.fuzz.parsers import CORPUS, PARSERS, Parser, corpus

kept = [
    pytest.param(parser, path, id=f"{parser.name}/{path.name}")
    for parser in PARSERS
    for path in corpus(parser)
]


@pytest.mark.parametrize(("parser", "path"), kept)
def test_what_was_found_once_is_no_trouble_now(parser: Parser, path: Path) -> None:
    parser.check(path.read_bytes())


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_whatever_comes_in_only_what_is_documented_comes_out(parser: Parser) -> None:
    @settings(
        max_examples=100,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(inputs(parser))
    def check(data: bytes) -> None:
        parser.check(data)

    check()


def test_every_folder_of_the_corpus_is_a_parsers() -> None:
    assert {path.name for path in CORPUS.iterdir()} == {parser.name for parser in PARSERS}
