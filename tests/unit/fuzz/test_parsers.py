"""The corpus that `make fuzz` keeps, and a sample of the inputs that it generates."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.fuzz.inputs import inputs
from tests.fuzz.parsers import CORPUS, PARSERS, Parser, corpus

kept = [
    pytest.param(parser, path, id=f"{parser.name}/{path.name}")
    for parser in PARSERS
    for path in corpus(parser)
]


@pytest.mark.parametrize(("parser", "path"), kept)
def test_parser_handles_every_input_of_its_corpus(parser: Parser, path: Path) -> None:
    parser.check(path.read_bytes())


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_parser_keeps_its_promises_for_generated_inputs(parser: Parser) -> None:
    @settings(
        max_examples=100,
        derandomize=True,
        database=None,
    )
    @given(inputs(parser))
    def check(data: bytes) -> None:
        parser.check(data)

    check()


def test_corpus_has_one_folder_per_parser() -> None:
    assert {path.name for path in CORPUS.iterdir()} == {parser.name for parser in PARSERS}
