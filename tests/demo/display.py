"""The demo's output while it runs: a live table on a terminal, plain lines elsewhere."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tests.demo.state import NONE, Row, State

_BAR_WIDTH = 10  # the table fits into 80 columns
_STATUS_SECONDS = 10.0
_PER_SECOND = 4


class Display(Protocol):
    """Shows the state and the events."""

    def event(self, elapsed: float, line: str) -> None:
        """Show that something happened."""

    def show(self, state: State, elapsed: float) -> None:
        """Show the current state."""


@contextlib.contextmanager
def open_display(console: Console, seconds: int, lifetime: int) -> Iterator[Display]:
    """Return a display that suits the console."""
    if not console.is_terminal:
        yield _Plain(lifetime)
        return
    with Live(console=console, refresh_per_second=_PER_SECOND) as live:
        yield _Table(live, seconds, lifetime)


class _Table:
    def __init__(self, live: Live, seconds: int, lifetime: int) -> None:
        self._live = live
        self._seconds = seconds
        self._lifetime = lifetime
        self._events: list[Text] = []
        self._drawn = -1.0

    def event(self, elapsed: float, line: str) -> None:
        self._events.append(Text.assemble((f"  {_clock(elapsed)}  ", "dim"), line))
        self._drawn = -1.0

    def show(self, state: State, elapsed: float) -> None:
        # The state is updated more often than anyone could follow.
        if elapsed - self._drawn < 1 / _PER_SECOND:
            return
        self._drawn = elapsed
        head = f"Pinecone token operator: {_clock(elapsed)} of {_clock(self._seconds)}"
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("Resource", no_wrap=True, min_width=10)
        table.add_column("Ready", no_wrap=True)
        table.add_column("Refreshed", no_wrap=True, min_width=11)
        table.add_column("Token", no_wrap=True, min_width=8)
        table.add_column("Lifetime", no_wrap=True, min_width=_BAR_WIDTH + 5)
        table.add_column("New", no_wrap=True, justify="right")
        table.add_column("Min", no_wrap=True, justify="right")
        for row in state.rows.values():
            table.add_row(*self._cells(row))
        foot = Text(
            "  Token: a hash. New: refreshes so far. Min: the shortest remaining lifetime.", "dim"
        )
        self._live.update(Group(Text(head, "bold"), table, foot, *self._events), refresh=True)

    def _cells(self, row: Row) -> tuple[RenderableType, ...]:
        return (
            row.name,
            Text(row.ready, "green" if row.ready == "True" else "red"),
            Text(row.reason, "green" if row.refreshed == "True" else "yellow"),
            row.token if row.genuine else Text(row.token, "red"),
            self._bar(row),
            str(row.refreshes),
            _seconds(row.shortest),
        )

    def _bar(self, row: Row) -> Text:
        share = max(0.0, min((row.remaining or 0) / self._lifetime, 1.0))
        filled = round(share * _BAR_WIDTH)
        style = "green" if share > 1 / 3 else "yellow" if share > 1 / 6 else "red"
        bar = ("━" * filled, style), ("─" * (_BAR_WIDTH - filled), "dim")
        return Text.assemble(*bar, f" {_seconds(row.remaining):>4}")


class _Plain:
    def __init__(self, lifetime: int) -> None:
        self._lifetime = lifetime
        self._next = 0.0

    def event(self, elapsed: float, line: str) -> None:
        print(f"{_clock(elapsed)}  event: {line}", flush=True)

    def show(self, state: State, elapsed: float) -> None:
        if elapsed < self._next:
            return
        self._next = elapsed + _STATUS_SECONDS
        for row in state.rows.values():
            print(
                f"{_clock(elapsed)}  {row.name:22} Ready={row.ready} Refreshed={row.refreshed} "
                f"({row.reason}) token={row.token} "
                f"lifetime={_seconds(row.remaining)}/{self._lifetime}s "
                f"refreshes={row.refreshes} min={_seconds(row.shortest)}",
                flush=True,
            )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def _seconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}s"
