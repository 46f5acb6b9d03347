"""Find comments that cut off an author's words."""

import re
from typing import Final, NamedTuple

_WORDS: Final = frozenset({"prompt", "title", "name"})
"""Fields of free text. In them, ``car #7 takes the lead`` is a sentence far more often than a comment."""

_NAMES: Final = frozenset({"image", "images"})
"""Fields of file names, such as ``shot #7.png``. Other fields have a choice of values, so nothing is lost."""

_SAME_LINE: Final = re.compile(r"([ \t]+)(#[^\r\n]*)")
_NEXT_LINE: Final = re.compile(r"[ \t]*(?:\r\n|\n|\r)([ \t]+)(#[^\r\n]*)")
_BLOCK_HEADER: Final = re.compile(r"[|>][-+0-9]*([ \t]+)(#[^\r\n]*)")
_SHOWN: Final = 30
"""Characters of a comment that a message repeats."""


class Comment(NamedTuple):
    """A comment after a value without quotes.

    Attributes:
        gap: The blanks before it.
        text: The comment, with its ``#``.
    """

    gap: str
    text: str

    def problem(self, field: str) -> str | None:
        """Return why this may be no comment but the end of the field's value, or None if it is a comment.

        In a sentence, a comment is set apart by two blanks or a tab before the ``#`` and one after it.
        """
        is_attached = self.text[1:2].strip("# \t") != ""
        is_apart = "\t" in self.gap or len(self.gap) > 1
        if field not in _WORDS | _NAMES or not (is_attached or (field in _WORDS and not is_apart)):
            return None
        shown = self.text if len(self.text) <= _SHOWN else f"{self.text[: _SHOWN - 1]}…"
        return (
            f"YAML reads {shown!r} as a comment, so it would be lost; put the whole text in quotes. "
            "For a comment, write two blanks before the '#' and one after it"
        )


def comment_after(text: str, end: int, *, column: int) -> Comment | None:
    """Return the comment that follows a value.

    Args:
        text: The whole text.
        end: Index of the value's end.
        column: Column of the value's field, from 0; a continuation of the value is indented deeper.
    """
    if match := _SAME_LINE.match(text, end):
        return Comment(match[1], match[2])
    match = _NEXT_LINE.match(text, end)
    if match and len(match[1]) > column:
        return Comment(match[1], match[2])
    return None


def comment_in_header(text: str, start: int) -> Comment | None:
    """Return the comment behind the ``|`` or ``>`` of a block, which one blank sets apart."""
    match = _BLOCK_HEADER.match(text, start)
    return Comment(f" {match[1]}", match[2]) if match else None
