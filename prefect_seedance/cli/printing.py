"""Print on terminals in their width and colours, and into pipes line by line."""

import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_PIPE_COLUMNS = 1000
"""No line of a pipe is broken or cut."""


def terminal(*, error: bool = False) -> Console:
    """Return the console of our output, or of our messages."""
    return Console(stderr=error, highlight=False, emoji=False, markup=False)


def width() -> int:
    """Return how many columns standard output has."""
    console = terminal()
    return console.width if console.is_terminal else _PIPE_COLUMNS


def show(*renderables: RenderableType) -> None:
    """Print on standard output."""
    console = terminal()
    group = Group(*renderables)  # or texts would become one, which may be broken anywhere
    if console.is_terminal:
        console.print(group, crop=False)
        return
    console.width = width()
    with console.capture() as capture:
        console.print(group)
    for line in capture.get().splitlines():
        print(line.rstrip())  # noqa: T201 -- this is the command's voice
    sys.stdout.flush()


def fall_silent(out: TextIO) -> None:
    """Write nowhere from now on, because the pipe is closed; else Python complains when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def unbroken(text: str, style: str = "") -> Text:
    """Return a line that stays one, so that it can be copied from a terminal of any width."""
    return Text(text, style, no_wrap=True, overflow="ignore")


def command(words: str) -> Text:
    """Return a command to be copied."""
    return unbroken(f"  {words}", "bold")


def program() -> str:
    """Return the word that calls this program: its name, where the shell finds it by that."""
    path = Path(sys.argv[0])
    found = shutil.which(path.name)
    if found and path.absolute() == Path(found).absolute():
        return path.name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def grid(*headings: str) -> Table:
    """Return a table without lines, under dim headings."""
    return Table(*headings, box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))


def count(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 clip``, ``1,000 clips``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def elapsed(seconds: float) -> str:
    """Write a time as people read it off a clock: ``0:07``, ``12:40``, ``1:02:03``."""
    whole = str(timedelta(seconds=int(seconds)))
    return whole.removeprefix("0:").removeprefix("0") if whole.startswith("0:0") else whole.removeprefix("0:")
