"""Find the file that a name means, although it is written in another way."""

import os
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


def composed(path: Path) -> Path:
    """Return the path of an existing file whose name has the same letters, or the path itself.

    An accented letter is one character or two: ``é`` in most programs, ``e`` with an accent on older Macs.
    """
    if os.path.lexists(path):
        return path
    found = Path(path.anchor)
    for part in path.parts[bool(path.anchor) :]:
        known = part if os.path.lexists(found / part) else same_letters(part, _entries(found))
        found /= known or part
    return found


def same_letters(name: str, names: Iterable[str]) -> str | None:
    """Return the only one of these names that has the same letters, however its accents are encoded."""
    form = unicodedata.normalize("NFC", name)
    same = [known for known in names if unicodedata.normalize("NFC", known) == form]
    return same[0] if len(same) == 1 else None


def path_suggestion(path: Path) -> str:
    """Return the end of a message about a missing file: a similar one, or an empty text."""
    folder, missing = path.parent, path.name
    while not folder.is_dir() and folder != folder.parent:
        folder, missing = folder.parent, folder.name
    if "\\" in missing:
        meant = folder.joinpath(*path.relative_to(folder).as_posix().replace("\\", "/").split("/"))
        meant_name = str(meant.relative_to(folder))
        found = f"; did you mean {meant_name!r}? Separate" if meant.exists() else "; separate"
        return f"{found} folders with slashes, not backslashes"
    return suggestion(missing, _entries(folder))


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return the end of a message about a missing name: the most similar one, or an empty text."""
    by_look: dict[str, str] = {}
    for known in names:
        by_look.setdefault(_look(known), known)
    close = get_close_matches(_look(name), by_look, n=1)
    if not close:
        return ""
    meant = by_look[close[0]]
    if _look(meant) == _look(name) and meant.casefold() != name.casefold():
        return f"; did you mean {meant!r}? It looks the same, but {meant!a} is not {name!a}"
    difference = " Upper and lower case differ" if meant.casefold() == name.casefold() else ""
    return f"; did you mean {meant!r}?{difference}"


def _look(name: str) -> str:
    """Return the letters that a reader sees, without case and invisible characters."""
    visible = (character for character in name if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", "".join(visible)).casefold()


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder or ".")  # noqa: PTH208 -- names, not paths
    except OSError:
        return []
