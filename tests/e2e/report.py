"""The report: figures for a person on the terminal, the same in JSON for a program."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write(directory: Path, found: dict[str, Any]) -> None:
    """Print it, and write it into the directory."""
    (directory / "report.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print("\n".join(_lines(found)), flush=True)


def _lines(value: dict[str, Any], indent: str = "") -> Iterator[str]:
    for key, each in value.items():
        if isinstance(each, dict):
            yield f"{indent}{key}:"
            yield from _lines(each, indent + "  ")
        elif isinstance(each, list):
            yield f"{indent}{key}: {', '.join(str(one) for one in each) or 'nothing'}"
        elif isinstance(each, float):
            yield f"{indent}{key}: {each:.1f}"
        else:
            yield f"{indent}{key}: {each}"
