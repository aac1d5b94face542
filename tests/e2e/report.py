"""The report: figures for the terminal, and the same as JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write(directory: Path, found: dict[str, Any]) -> None:
    """Print the report and write it to the directory."""
    (directory / "report.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print("\n".join(_lines(found)), flush=True)


def _lines(value: dict[str, Any], indent: str = "") -> Iterator[str]:
    for key, each in value.items():
        if isinstance(each, dict):
            yield f"{indent}{key}:"
            yield from _lines(each, indent + "  ")
        elif isinstance(each, list):
            yield f"{indent}{key}: {', '.join(str(one) for one in each) or 'none'}"
        elif isinstance(each, float):
            yield f"{indent}{key}: {each:.1f}"
        else:
            yield f"{indent}{key}: {each}"
