"""Print to terminals in their width and colours, and to pipes line by line."""

import shutil
import sys
from datetime import timedelta
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from prefect_seedance.printable import escape

_PIPE_COLUMNS = 1000
"""Wide enough that no line in a pipe is wrapped or cut."""


def terminal(*, error: bool = False) -> Console:
    """Return the console of standard output, or of standard error."""
    return Console(stderr=error, highlight=False, emoji=False, markup=False)


def width() -> int:
    """Return the columns of standard output."""
    console = terminal()
    return console.width if console.is_terminal else _PIPE_COLUMNS


def show(*renderables: RenderableType) -> None:
    """Print on standard output."""
    console = terminal()
    group = printable(*renderables)
    if console.is_terminal:
        console.print(group, crop=False)
        return
    console.width = width()
    with console.capture() as capture:
        console.print(group)
    for line in capture.get().splitlines():
        print(line.rstrip())  # noqa: T201 -- the command's output
    sys.stdout.flush()


def printable(*renderables: RenderableType) -> RenderableType:
    """Group parts of the output, and escape characters in them that would control the terminal."""
    return _Printable(Group(*renderables))  # without a group, rich merges texts and wraps them anywhere


class _Printable:
    """Escapes hidden characters after layout, so that none is forgotten."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._renderable, options):
            text = segment.text if segment.control else escape(segment.text, keep="\n")
            yield segment if text == segment.text else Segment(text, segment.style)


def unbroken(text: str, style: str = "") -> Text:
    """Return a line that is never wrapped, so that it can be copied from a terminal of any width."""
    return Text(text, style, no_wrap=True, overflow="ignore")


def command(words: str) -> Text:
    """Return a command to copy."""
    return unbroken(f"  {words}", "bold")


def program() -> str:
    """Return how to call this program: by name if it is on PATH, else by path."""
    path = Path(sys.argv[0])
    found = shutil.which(path.name)
    if found and path.absolute() == Path(found).absolute():
        return path.name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def grid(*headings: str) -> Table:
    """Return a table without lines, with dim headings."""
    return Table(*headings, box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))


def count(number: int, noun: str) -> str:
    """Format a number with its noun: ``1 clip``, ``1,000 clips``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def elapsed(seconds: float) -> str:
    """Format a duration as a clock does: ``0:07``, ``12:40``, ``1:02:03``."""
    whole = str(timedelta(seconds=int(seconds)))
    return whole.removeprefix("0:").removeprefix("0") if whole.startswith("0:0") else whole.removeprefix("0:")
