"""Name clips for display."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

_MAX_LENGTH: Final = 60
"""The most characters of a clip's name, so that it fits in a line of a table."""


def clip_name(name: str, *, stems: Sequence[str]) -> str:
    """Return the beginning of a clip's name or, if it has none, the names of its images."""
    shown = (_shorten(stem, length=_MAX_LENGTH // 2 - 2) for stem in stems)
    return _shorten(name, length=_MAX_LENGTH) or " → ".join(shown)


def as_line(text: str) -> str:
    """Remove characters that would break a line of a table or control a terminal."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def unique(names: Iterable[str]) -> Iterator[str]:
    """Append a number to a name that is already used."""
    uses: Counter[str] = Counter()
    taken: set[str] = set()
    for name in names:
        free = name
        while free in taken or not uses[name]:
            uses[name] += 1
            free = name if uses[name] == 1 else f"{name} ({uses[name]})"
        taken.add(free)
        yield free


def _shorten(text: str, *, length: int) -> str:
    line = as_line(text)
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
