"""Tables, colors and objects on a terminal or in a pipe."""

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

GREEN, YELLOW, RED, BOLD = "32", "33", "31", "1"
_PLAIN: Final = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_GAP: Final = "   "


class Output:
    """Where a command prints.

    Args:
        colored: whether to use colors.
        width: cut table rows to this many columns; 0 means not to.
    """

    def __init__(self, *, colored: bool, width: int) -> None:
        self._colored = colored
        self._width = width

    @classmethod
    def standard(cls, environ: Mapping[str, str]) -> "Output":
        """Return what suits the standard output: a pipe gets plain, whole lines."""
        if not sys.stdout.isatty():
            return cls(colored=False, width=0)
        plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
        return cls(colored=not plain, width=shutil.get_terminal_size().columns)

    def line(self, text: str = "") -> None:
        """Print a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Print a line that is not the command's result."""
        sys.stderr.write(f"{text}\n")

    def color(self, text: str, code: str) -> str:
        """Return a text in a color, if there are any."""
        return f"\x1b[{code}m{text}\x1b[0m" if self._colored and text else text

    def state(self, text: str) -> str:
        """Return a condition's status: True in green, anything else in red."""
        return self.color(text, GREEN if text == "True" else RED)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> None:
        """Print a table."""
        self.aligned([header, *rows], indent)

    def aligned(self, rows: Sequence[Sequence[str]], indent: str = "") -> None:
        """Print rows with aligned columns."""
        widths = [max(map(_length, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                cell + " " * (width - _length(cell))
                for cell, width in zip(row, widths, strict=True)
            ]
            self.line(self._cut(f"{indent}{_GAP.join(cells)}".rstrip()))

    def _cut(self, text: str) -> str:
        if not self._width or _length(text) <= self._width:
            return text
        kept, length = [], 0
        # Escape sequences are kept whole, so that the last color ends.
        for part in re.split(r"(\x1b\[[0-9;]*m)", text):
            if _PLAIN.fullmatch(part):
                kept.append(part)
                continue
            shown = part[: max(0, self._width - 1 - length)]
            length += len(shown)
            kept.append(shown)
        return "".join(kept).rstrip() + "…"

    def dump(self, obj: Mapping[str, Any], form: str) -> None:
        """Print an object as json or yaml."""
        if form == "json":
            self.line(json.dumps(obj, indent=4, ensure_ascii=False))
            return
        import yaml  # noqa: PLC0415 - rarely needed

        self.line(yaml.safe_dump(obj, sort_keys=False, allow_unicode=True).rstrip())


def clean(text: object) -> str:
    """Return a text of the API server's on one line, without control characters.

    Anyone who may write a status or an Event could otherwise control the user's terminal.
    """
    return _CONTROL.sub(" ", str(text))


def _length(text: str) -> int:
    return len(_PLAIN.sub("", text))
