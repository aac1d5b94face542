"""Sentences in the operator's source: everything that is quoted and reads as a sentence.

That makes the list complete: a new log line, error or condition message is in it without being
registered anywhere.
"""

import ast
from collections.abc import Iterator
from typing import Final

from tests.support.repository import ROOT

PACKAGE: Final = ROOT / "operator" / "pinecone_token_operator"
# Identifiers and formats have fewer spaces.
_LEAST_SPACES: Final = 2
_LOGGING: Final = ("debug", "info", "warning", "error", "exception", "log")
# Errors of the programmer, and what is not shown to anybody.
_INTERNAL: Final = ("AssertionError", "NotImplementedError", "re.compile", "asyncio.create_task")


def source_sentences() -> Iterator[tuple[str, list[str]]]:
    """Yield each module's name and its sentences, each with the call that it is passed to."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        found = [
            f"{callee}: {text}" if callee else text
            for callee, text in _texts(tree, "")
            if _is_sentence(callee, text) and callee not in _INTERNAL
        ]
        if found:
            yield path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."), found


def _is_sentence(callee: str, text: str) -> bool:
    return callee in _LOGGING or text.count(" ") >= _LEAST_SPACES


def _texts(node: ast.AST, callee: str) -> Iterator[tuple[str, str]]:
    """Yield all texts below a node but docstrings, each with the call that it is passed to."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if (text := _text(node)) is not None:
        yield callee, text
        return
    if isinstance(node, ast.Call):
        callee = ast.unparse(node.func).removeprefix("logger.")
    elif isinstance(node, ast.stmt):
        callee = ""
    for child in ast.iter_child_nodes(node):
        yield from _texts(child, callee)


def _text(node: ast.AST) -> str | None:
    """Return a quoted text, with expressions in braces; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(node.value.split())
    if isinstance(node, ast.JoinedStr):
        return " ".join("".join(map(_part, node.values)).split())
    return None


def _part(node: ast.expr) -> str:
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value)}}}"
    return str(node.value) if isinstance(node, ast.Constant) else ""
