"""Show how the clips of a production get on: as a table that lives on a terminal, or as lines."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from prefect_seedance.cli.printing import elapsed, fall_silent, grid, terminal

if TYPE_CHECKING:  # it would load Prefect, and screens are there before
    from prefect_seedance.orchestration.production import Progress

_FRAME_LINES = 8
"""Lines that the table's rows cannot have: title, headings, counts, note, gaps and the cursor."""

_OTHER_COLUMNS = 30
"""What number, state and time need at most beside a clip's name, which gets the rest but not less than:"""
_NAME_COLUMNS = 12

_FRAMES_PER_SECOND = 4

_GOOD = {"made", "reused"}
_TROUBLE = {"failed", "unresolved", "not submitted"}
_STYLES: Mapping[str, str] = {
    "queued": "dim",
    "submitting": "yellow",
    "submitted": "yellow",
    "pending": "cyan",
    "processing": "cyan",
    "success": "cyan",
    "archiving": "blue",
    "made": "green",
    "reused": "green",
    "failed": "red",
    "unresolved": "bold yellow",
}


class Screen(AbstractContextManager["Screen"], Protocol):
    """Where people see what goes on.

    Attributes:
        has_spent: Whether a submission may have been sent.
    """

    has_spent: bool

    def hear(self, progress: "Progress") -> None:
        """Take in a step that a clip took."""

    def busy(self, doing: str) -> AbstractContextManager[object]:
        """Say what takes a while before clips can be seen."""

    def note(self, text: str) -> None:
        """Say something else."""


def screen_for(title: str, *, plain: bool, error: bool) -> Screen:
    """Return the screen that suits where it is shown.

    Args:
        title: Of the production.
        plain: Never a live table, because other lines are printed between.
        error: Show it beside the output, which belongs to a program.
    """
    console = terminal(error=error)
    if console.is_terminal and not plain:
        return Board(title, console=console)
    return Lines(sys.stderr if error else sys.stdout)


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

    def hear(self, progress: "Progress") -> None:
        """Print the step, unless it only is that its turn has not come."""
        self.has_spent |= _may_spend(progress)
        if progress.stage != "queued":
            self._say(f"{self._now():%H:%M:%S}  {progress.clip.name}  {progress.stage}", self._out)

    def busy(self, doing: str) -> AbstractContextManager[object]:
        """Print it beside the steps."""
        self.note(doing)
        return nullcontext()

    def note(self, text: str) -> None:
        """Print it beside the steps."""
        self._say(text, sys.stderr)

    def _say(self, line: str, out: TextIO) -> None:
        try:
            print(line, file=out, flush=True)
        except BrokenPipeError:  # that nobody listens any more does not concern what is being paid for
            fall_silent(out)


@dataclass
class _Row:
    """A clip on the board.

    Attributes:
        began: When it left the queue, by the board's clock.
        ended: When nothing more could happen to it.
    """

    number: int
    name: str
    stage: str
    began: float | None = None
    ended: float | None = None

    @property
    def urgency(self) -> tuple[int, int]:
        """Who comes first if there is no room for all: what moves, what went wrong, what is next."""
        if self.ended is None:
            return (0 if self.began is not None else 2), self.number
        return (1 if self.stage in _TROUBLE else 3), self.number


class Board:
    """A table of clips that lives on a terminal for as long as it is entered, and then is gone."""

    def __init__(self, title: str, *, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.has_spent = False
        self._title = title
        self._console = console
        self._clock = clock
        self._began: float | None = None
        self._rows: dict[int, _Row] = {}
        self._note = ""
        self._live = Live(
            console=console, get_renderable=self.look, transient=True, refresh_per_second=_FRAMES_PER_SECOND
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def hear(self, progress: "Progress") -> None:
        """Put the step on the board, which appears with the first."""
        self.has_spent |= _may_spend(progress)
        clip, now = progress.clip, self._clock()
        if self._began is None:
            self._began = now
            self._live.start()
        row = self._rows.setdefault(clip.number, _Row(clip.number, clip.name, progress.stage))
        row.stage = progress.stage
        if row.began is None and progress.stage not in {"queued", "reused"}:
            row.began = now
        if progress.is_final:
            row.ended = now

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Turn a spinner beside it."""
        with self._console.status(doing):
            yield

    def note(self, text: str) -> None:
        """Show it below the table."""
        self._note = text

    def look(self) -> RenderableType:
        """Return what is to be seen now."""
        known = list(self._rows.values())  # at once, for this is called in a thread of its own
        rows = sorted(known, key=lambda row: row.urgency)
        seen = sorted(rows[: max(1, self._console.height - _FRAME_LINES)], key=lambda row: row.number)
        table = grid("#", "clip", "state", "time")
        table.columns[0].justify = table.columns[3].justify = "right"
        table.columns[1].no_wrap = table.columns[2].no_wrap = True
        table.columns[1].max_width = max(_NAME_COLUMNS, self._console.width - _OTHER_COLUMNS)
        for row in seen:
            table.add_row(
                f"{row.number}",
                row.name,
                Text(row.stage, _style(row.stage)),
                self._since(row.began, row.ended),
            )
        title = Text.assemble((self._title, "bold"), f"  {self._since(self._began)}\n")
        counts = _counts(rows, hidden=len(rows) - len(seen))
        return Group(title, table, counts, Text(self._note, "bold"))

    def _since(self, began: float | None, ended: float | None = None) -> str:
        return "" if began is None else elapsed((self._clock() if ended is None else ended) - began)


def _may_spend(progress: "Progress") -> bool:
    return progress.stage == "submitting"


def _style(stage: str) -> str:
    return _STYLES.get(stage, "")


def _counts(rows: list[_Row], *, hidden: int) -> Text:
    counts = Counter(row.stage for row in rows)
    known = sorted(counts, key=lambda stage: [*_STYLES].index(stage) if stage in _STYLES else len(_STYLES))
    text, no_break = Text("\n"), "\N{NO-BREAK SPACE}"
    for number, stage in enumerate(known):
        text.append(" · " if number else "").append(f"{counts[stage]:,}{no_break}{stage}", _style(stage))
    return text.append(f"  ({hidden:,} not shown)" if hidden else "", "dim")
