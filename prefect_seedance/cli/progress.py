"""Show the progress of clips: as a live table on a terminal, or as lines."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from prefect_seedance.cli.printing import elapsed, grid, printable, terminal
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.printable import escape
from prefect_seedance.production.progress import Progress

_FRAME_LINES = 8
"""Lines around the rows of the table: title, headings, counts, note, gaps and the cursor."""

_OTHER_COLUMNS = 46
"""Columns for number, status and times beside a clip's name, which gets the rest, but at least:"""
_NAME_COLUMNS = 12

_FRAMES_PER_SECOND = 4

_TROUBLE = {
    ClipStatus.failed,
    ClipStatus.not_archived,
    ClipStatus.unresolved,
    ClipStatus.unreadable,
    ClipStatus.not_submitted,
}
_STYLES: Mapping[ClipStatus, str] = {
    ClipStatus.queued: "dim",
    ClipStatus.submitting: "yellow",
    ClipStatus.in_flight: "cyan",
    ClipStatus.archiving: "blue",
    ClipStatus.made: "green",
    ClipStatus.reused: "green",
    ClipStatus.failed: "red",
    ClipStatus.not_archived: "bold red",
    ClipStatus.unresolved: "bold yellow",
    ClipStatus.unreadable: "bold red",
}


class Screen(AbstractContextManager["Screen"], Protocol):
    """Shows progress.

    Attributes:
        has_spent: Whether a submission may have been sent.
    """

    has_spent: bool

    def show(self, progress: Progress) -> None:
        """Show a step of a clip."""

    def busy(self, doing: str) -> AbstractContextManager[object]:
        """Show what takes a while before there is progress of clips."""

    def note(self, text: str) -> None:
        """Show a remark."""


def screen_for(title: str, *, plain: bool) -> Screen:
    """Return the screen that suits standard error: standard output is for the result.

    Args:
        title: Of the production.
        plain: Print lines even on a terminal, because logs are printed between them.
    """
    console = terminal(error=True)
    if console.is_terminal and not plain:
        return Board(title, console=console)
    return Lines(sys.stderr)


class Lines:
    """Prints a line for every step."""

    def __init__(self, out: TextIO, *, now: Callable[[], datetime] = datetime.now) -> None:
        self.has_spent = False
        self._out = out
        self._now = now

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, progress: Progress) -> None:
        """Print the step, unless the clip only waits in the queue."""
        self.has_spent |= _may_spend(progress)
        if progress.status is not ClipStatus.queued:
            label, left = _label(progress), progress.seconds_left
            if left is not None and label.startswith(progress.status):  # once, and not with every state
                label = f"{label}, {_expected(left)}"
            self._print(f"{self._now():%H:%M:%S}  {progress.clip.name}  {label}")

    def busy(self, doing: str) -> AbstractContextManager[object]:
        """Print it."""
        self.note(doing)
        return nullcontext()

    def note(self, text: str) -> None:
        """Print it, unless it is empty."""
        if text:
            self._print(text)

    def _print(self, line: str) -> None:
        print(escape(line), file=self._out, flush=True)


@dataclass
class _Row:
    """A clip on the board.

    Attributes:
        label: The status, or the API's own word for it.
        began: When it left the queue, by the board's clock.
        expected: When its generation probably ends; None if that is not known.
        ended: When the run finished with it.
    """

    number: int
    name: str
    status: ClipStatus
    label: str
    began: float | None = None
    expected: float | None = None
    ended: float | None = None

    @property
    def is_queued(self) -> bool:
        """Whether the clip waits for one of the account's slots."""
        return self.status is ClipStatus.queued and self.ended is None

    @property
    def urgency(self) -> tuple[int, int]:
        """The order in which rows get room: in progress, in trouble, queued, done."""
        if self.ended is None:
            return (0 if self.began is not None else 2), self.number
        return (1 if self.status in _TROUBLE else 3), self.number


class Board:
    """A live table of clips, which disappears when the context is left."""

    def __init__(self, title: str, *, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.has_spent = False
        self._title = title
        self._console = console
        self._clock = clock
        self._began: float | None = None
        self._rows: dict[int, _Row] = {}
        self._note = ""
        self._live = Live(
            console=console, get_renderable=self.render, transient=True, refresh_per_second=_FRAMES_PER_SECOND
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        """Update the clip's row; the first step starts the board."""
        self.has_spent |= _may_spend(progress)
        clip, now = progress.clip, self._clock()
        if self._began is None:
            self._began = now
            self._live.start()
        row = self._rows.setdefault(clip.number, _Row(clip.number, clip.name, progress.status, ""))
        row.status, row.label = progress.status, _label(progress)
        if row.began is None and progress.status not in {ClipStatus.queued, ClipStatus.reused}:
            row.began = now
        if progress.seconds_left is not None:
            row.expected = now + progress.seconds_left
        if progress.is_final:
            row.ended = now

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Show a spinner beside it."""
        with self._console.status(doing):
            yield

    def note(self, text: str) -> None:
        """Show it below the table."""
        self._note = text

    def render(self) -> RenderableType:
        """Return the board as it looks now."""
        known = list(self._rows.values())  # a copy, because rich calls this in another thread
        rows = sorted(known, key=lambda row: row.urgency)
        shown = sorted(rows[: max(1, self._console.height - _FRAME_LINES)], key=lambda row: row.number)
        title = Text.assemble((self._title, "bold"), f"  {self._since(self._began)}\n")
        counts = _counts(rows, hidden=len(rows) - len(shown))
        return printable(title, self._table(shown, known), counts, Text(self._note, "bold"))

    def _table(self, shown: list[_Row], known: list[_Row]) -> RenderableType:
        table = grid("#", "clip", "status", "time", "left")
        table.columns[0].justify = table.columns[3].justify = "right"
        table.columns[1].no_wrap = table.columns[2].no_wrap = table.columns[4].no_wrap = True
        table.columns[1].max_width = max(_NAME_COLUMNS, self._console.width - _OTHER_COLUMNS)
        queue = {row.number: ahead for ahead, row in enumerate(row for row in known if row.is_queued)}
        for row in shown:
            label = Text(row.label, _STYLES.get(row.status, ""))
            if row.number in queue:
                label.append(f", {queue[row.number]:,} ahead")
            time_taken = self._since(row.began, row.ended)
            table.add_row(f"{row.number}", row.name, label, time_taken, self._left(row))
        return table

    def _left(self, row: _Row) -> str:
        """Return how long a generation probably takes from now on."""
        if row.expected is None or row.status is not ClipStatus.in_flight or row.ended is not None:
            return ""
        left = row.expected - self._clock()
        return f"~{elapsed(left)}" if left > 0 else "late"

    def _since(self, began: float | None, ended: float | None = None) -> str:
        return "" if began is None else elapsed((self._clock() if ended is None else ended) - began)


def _may_spend(progress: Progress) -> bool:
    return progress.status in {ClipStatus.submitting, ClipStatus.in_flight}


def _expected(seconds_left: float) -> str:
    """Describe when a generation probably ends."""
    if seconds_left <= 0:
        return f"{elapsed(-seconds_left)} longer than usual"
    return f"about {elapsed(seconds_left)} left"


def _label(progress: Progress) -> str:
    return progress.detail or progress.status


def _counts(rows: list[_Row], *, hidden: int) -> Text:
    counts = Counter(row.status for row in rows)
    text, no_break = Text("\n"), "\N{NO-BREAK SPACE}"
    for number, status in enumerate(status for status in ClipStatus if counts[status]):
        style = _STYLES.get(status, "")
        text.append(" · " if number else "").append(f"{counts[status]:,}{no_break}{status}", style)
    return text.append(f"  ({hidden:,} not shown)" if hidden else "", "dim")
