"""Name clips for display, each differently."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

MAX_NAME_LENGTH: Final = 60
"""The most characters of a clip's name, so that it fits in a line of a table."""


def shorten(text: str, *, length: int) -> str:
    """Return a text as one line of at most this many characters."""
    line = printable_line(text)
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def printable_line(text: str) -> str:
    """Remove characters that would break a line of a table or control a terminal."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def unique_names(names: Iterable[str]) -> Iterator[str]:
    """Append a number to a name that is already used."""
    uses: Counter[str] = Counter()
    taken: set[str] = set()
    for name in names:
        unique = name
        while unique in taken or not uses[name]:
            uses[name] += 1
            unique = name if uses[name] == 1 else f"{name} ({uses[name]})"
        taken.add(unique)
        yield unique
