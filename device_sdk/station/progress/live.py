"""The board in a terminal, by rich. What devices say is text there, without colours or commands of theirs."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from device_sdk.errors import MissingDependencyError
from device_sdk.station.progress.board import Board, Row

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_STYLES = {
    "working": "yellow",
    "trying": "bold yellow",
    "provisioned": "green",
    "failed": "bold red",
    "lost": "red",
    "released": "magenta",
    "waiting": "dim",
    "ended": "dim",
}
_REFRESH_HZ = 4
_WORDS = 200
_BAR = 10
_NAME = 24


class LiveProgress:
    """Shows a board while the `with` block lasts, and what it came to after it.

    Args:
        board: what is shown; give it to the run as an observer.
        stream: the terminal.
        clock: POSIX seconds.

    Raises:
        MissingDependencyError: rich is not installed.
    """

    def __init__(self, board: Board, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError as error:
            raise MissingDependencyError(
                "live progress needs rich", hint="pip install 'device-sdk[station]', or --plain"
            ) from error
        self._board, self._clock = board, clock
        self.console: Console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self.console,
            get_renderable=self.render,
            refresh_per_second=_REFRESH_HZ,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="ellipsis",
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._live.__exit__(kind, exc, tb)

    def render(self) -> RenderableType:
        """The whole picture as it is now."""
        from rich.console import Group

        now = self._clock()
        with self._board.turn:
            return Group(self._rows(now), self._total(now))

    def _rows(self, now: float) -> Table:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("line", no_wrap=True, max_width=_NAME, overflow="ellipsis")
        table.add_column("device", no_wrap=True, max_width=24, overflow="ellipsis")
        table.add_column("", no_wrap=True, width=_BAR)
        table.add_column("", no_wrap=True, width=6, justify="right")
        table.add_column("what", no_wrap=True, ratio=1, overflow="ellipsis")
        for row in self._in_order():
            end = row.until if row.until is not None else now
            words = _text(row.words, _STYLES[row.state])
            table.add_row(
                _text(_end_of(row.line)), _text(row.device), self._bar(row), f"{max(0.0, end - row.since):.0f} s", words
            )
        return table

    def _in_order(self) -> list[Row]:
        """As many rows as there is room for; those where something happens come first if there is not enough."""
        rows = sorted(self._board.rows.values(), key=lambda row: row.line)
        room = max(4, self.console.size.height - 4)
        if len(rows) > room:
            rank = {"failed": 0, "trying": 1, "working": 2}
            rows = sorted(sorted(rows, key=lambda row: rank.get(row.state, 3))[:room], key=lambda row: row.line)
        return rows

    def _bar(self, row: Row) -> Text:
        part = row.done / self._board.steps if self._board.steps else 0
        full = round(_BAR * min(1.0, part))
        return _text("█" * full + "·" * (_BAR - full), _STYLES[row.state])

    def _total(self, now: float) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        board = self._board
        words = [f"{board.provisioned} provisioned", f"{board.failed} failed"]
        words += [f"{board.known} known"] if board.known else []
        words.append(f"{board.per_minute(now):.1f} a minute")
        left = board.left_s(now)
        words += [f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left"] if left is not None else []
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=1)
        table.add_column(no_wrap=True)
        of = f" of {board.devices}" if board.devices is not None else ""
        bar = ProgressBar(total=board.devices or None, completed=board.ended, pulse=board.devices is None)
        table.add_row(bar, f"{board.ended}{of}: {', '.join(words)}")
        return table


def _end_of(name: str) -> str:
    """Lines are called /dev/serial/by-id/usb-MAKER_MODEL_SERIAL-if00-port0: it is their ends that differ."""
    return name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"


def _text(words: str, style: str = "") -> Text:
    """Words of anybody as text: no markup, no control characters, no more than one line."""
    from rich.text import Text

    return Text("".join(one if one.isprintable() else "?" for one in words[:_WORDS]), style=style, end="")
