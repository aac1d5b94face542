"""Test names and ids are short and read in plain English; see 'Tests' in CONTRIBUTING.md."""

import ast
import re
from collections.abc import Iterator

from tests.support.repository import ROOT

MAX_LENGTH = 60
# A subject and what is expected of it: at least two words, of which the first is a noun.
NAME = re.compile(r"test_(?!(?:a|an|the|it|of|that|what|when|with)_)[a-z0-9]+(_[a-z0-9]+)+")
# Say report, reconcile, recreate, not managed, in progress, modified.
AVOIDED = re.compile(r"(?:^|[ _])(told|tells?|anew|foreign|somebody|whoever|under way)(?:$|[ _])")


def definitions() -> Iterator[tuple[str, ast.AST]]:
    """Yield every node of every test module, with the module's path."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            yield path.relative_to(ROOT).as_posix(), node


def test_names_state_a_subject_and_an_expectation() -> None:
    names = [
        (path, node.name)
        for path, node in definitions()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    wrong = [
        f"{path}: {name}"
        for path, name in names
        if len(name) > MAX_LENGTH or not NAME.fullmatch(name) or AVOIDED.search(name)
    ]

    assert len(names) > 500
    assert wrong == [], (
        f"use test_<subject>_<expected behavior>, in at most {MAX_LENGTH} characters"
    )


def test_ids_of_parameters_are_short() -> None:
    ids = [
        (path, node.value.value)
        for path, node in definitions()
        if isinstance(node, ast.keyword)
        and node.arg == "id"
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    wrong = [
        f"{path}: {text}"
        for path, text in ids
        if len(text) > MAX_LENGTH or AVOIDED.search(text) or not text.strip()
    ]

    assert len(ids) > 500
    assert wrong == []
