"""The table of values in the chart's README, made from the comments in values.yaml.

    python -m tests.support.chart_readme

Comments have helm-docs' form: `# -- ` begins the description of the value below it, which may go on
in further lines, and `# @default -- ` says in words what the table has as the default.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.chart import CHART

README = CHART / "README.md"
VALUES = CHART / "values.yaml"

_HEADER = "| value | default | description |\n|---|---|---|\n"
_DEFAULT = "@default -- "


class CommentError(Exception):
    """A comment in values.yaml is no description of a value."""


@dataclass(frozen=True, slots=True)
class Value:
    """A row of the table: a value's path, its default in JSON or in words, and what it is."""

    path: str
    default: str
    description: str


def rendered() -> str:
    """Return what the README should be: its table is renewed, and all else stays."""
    text = README.read_text("utf-8")
    before, header, after = text.partition(_HEADER)
    if not header:
        raise CommentError(f"{README} has no table of values")
    rest = re.sub(r"\A(\|.*\n)*", "", after)
    rows = "".join(
        f"| `{each.path}` | {each.default} | {each.description} |\n"
        for each in values(VALUES.read_text("utf-8"))
    )
    return before + header + rows + rest


def values(text: str) -> list[Value]:
    """Return what the comments describe, in the order of the file.

    Raises:
        CommentError: a comment describes nothing, or a value has no description.
    """
    lines = text.splitlines()
    unused = {number for number, line in enumerate(lines) if line.strip().startswith("# -- ")}
    found = list(_values(yaml.compose(text, yaml.SafeLoader), "", lines, unused))
    if unused:
        raise CommentError(f"line {min(unused) + 1} describes no value")
    return found


def _values(
    node: yaml.Node | None, path: str, lines: list[str], unused: set[int]
) -> Iterator[Value]:
    assert isinstance(node, yaml.MappingNode)
    for key, below in node.value:
        here = f"{path}.{key.value}".lstrip(".")
        if described := _description(lines, key.start_mark.line, unused):
            default = _plain(below)
            yield Value(
                here,
                described[1] or f"`{json.dumps(default, separators=(',', ':'))}`",
                described[0],
            )
        elif isinstance(below, yaml.MappingNode) and below.value:
            yield from _values(below, here, lines, unused)
        else:
            raise CommentError(f"{here} has no description")


def _description(lines: list[str], line: int, unused: set[int]) -> tuple[str, str] | None:
    """Return the description and the default in words that stand above a line, if they do."""
    words: list[str] = []
    default = ""
    while line > 0 and (comment := lines[line - 1].strip()).startswith("# "):
        line -= 1
        text = comment.removeprefix("# ")
        if text.startswith(_DEFAULT):
            default = text.removeprefix(_DEFAULT)
        elif line in unused:
            unused.remove(line)
            return " ".join([text.removeprefix("-- "), *words]), default
        else:
            words.insert(0, text)
    return None


def _plain(node: yaml.Node) -> Any:
    return yaml.SafeLoader("").construct_object(node, deep=True)


if __name__ == "__main__":
    README.write_text(rendered(), "utf-8")
