"""Recognise mistakes of typing that YAML itself reports in other lines, or not at all."""

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator
from typing import Final

from prefect_seedance.storyboard.yaml_lines import SyntaxIssue, is_json

_SPACE: Final = r"[\s\u200b\u2060\ufeff]"
_DASH: Final = "[-\u2010-\u2015\u2212\u2022\u00b7\ufe58\ufe63\uff0d]"
_COLONS: Final = ":\uff1a\ufe55\ufe13\u2236\ua789"
_OTHER_SIGNS: Final = ";=\uff1b\uff1d"
"""Signs that are also typed for a colon, but often follow a word in a sentence."""

_QUOTE: Final = "[\"'\u2018-\u201f\u00ab\u00bb\uff02\uff07]"
TYPOGRAPHIC_QUOTES: Final = (
    "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02\uff07\u300c\u300e"
)

_FIELD_LINE: Final = (
    rf"(?P<indent>{_SPACE}*+)(?:(?P<dash>{_DASH})(?P<gap>{_SPACE}*+))?(?:[{{\uff5b]{_SPACE}*+)?"
    rf"(?P<quote>{_QUOTE}?)(?P<field>{{fields}}){_QUOTE}?{_SPACE}*+(?P<colon>[{_COLONS}{{others}}])(?P<after>.?)"
)
_BLOCK: Final = re.compile(r"( *+)(?:- ++)?[^#]*:\s++[|>][-+0-9]*\s*(?:#.*)?")
_VALUE: Final = re.compile(r"\s*+(?:- ++)?(?:(?P<field>[\w-]++):\s++)?(?P<value>\S.*)")
_SPECIAL: Final = "@`%&*!|>[]{},?-#\"'\uff02\uff07"
_LINES_BEFORE: Final = 3
"""Lines up to an error that are searched for its cause: YAML notices it there, or one or two lines later."""

_BREAK: Final = re.compile(r"\r\n|\n|\r")
_TEXT_AFTER_FLOW: Final = re.compile(r".*[\]}]\s*[^\s\]},#]")
_FULL_WIDTH: Final = re.compile("[\u060c\u3001\uff0c\uff5b\uff5d\uff3b\uff3d]")
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")


def layout_typos(
    text: str, *, fields: Iterable[str], lines: Container[int] | None = None
) -> tuple[SyntaxIssue, ...]:
    """Find lines whose punctuation resembles YAML's, as word processors and input methods write it.

    Such a line may be part of a text, so this is meant for a document that has other errors.

    Args:
        text: The document.
        fields: All names of fields.
        lines: The lines to read, which are part of a sentence. Default: all lines.
    """
    names = "|".join(sorted(map(re.escape, fields), key=len, reverse=True))
    others = _OTHER_SIGNS if lines is None else ""
    pattern = re.compile(_FIELD_LINE.replace("{fields}", names).replace("{others}", others))
    return tuple(
        SyntaxIssue(number, message)
        for number, line in _outside_blocks(text)
        if (lines is None or number in lines) and (match := pattern.match(line)) and (message := _typo(match))
    )


def value_typo(text: str, line: int | None) -> SyntaxIssue | None:
    """Return why the value at this line, or at the last line before it, needs quotes; None if unknown."""
    if is_json(text) or line is None:
        return None
    lines = list(enumerate(_BREAK.split(text), 1))[:line]
    for number, content in reversed(lines[-_LINES_BEFORE:]):
        match = _VALUE.fullmatch(content)
        if match and (message := _unquoted(match["value"], has_field=bool(match["field"]))):
            return SyntaxIssue(number, message)
    return None


def _typo(match: re.Match[str]) -> str | None:
    """Return the first mistake in the punctuation of a field."""
    field = match["field"]
    start, pair = f"write '- {field}: …'", f"write '{field}: …'"
    indent, dash, gap = match["indent"].strip(" "), match["dash"] or "", (match["gap"] or "").strip(" ")
    colon, after = match["colon"], match["after"]
    mistakes = {
        f"is indented with {_named(indent)}; indent with spaces": indent,
        f"begins with {_named(dash)} instead of a hyphen; {start}": dash and dash != "-",
        f"has {_named(gap)} after the dash, not a blank; {start}": gap,
        f"needs a blank after the dash; {start}": dash and not match["gap"],
        f"has {_named(colon)} after '{field}'; {pair}, with an ordinary colon": colon != ":",
        f"has {_named(after)} after the colon, not a blank; {pair}": after.isspace() and after != " ",
        f"needs a blank after the colon; {pair}": after.strip() and not match["quote"],
    }
    return next((message for message, applies in mistakes.items() if applies), None)


def _unquoted(value: str, *, has_field: bool) -> str | None:
    """Return why a value needs quotes, or other ones."""
    first, is_quoted = value[0], len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    is_flow = first in "[{\uff3b\uff5b"
    full = _FULL_WIDTH.search(_QUOTED.sub("", value)) if is_flow else None
    remedy = "put the whole text in quotes"
    mistakes = {
        f"begins with {_named(first)}, which is no quote in YAML; use straight quotes": first
        in TYPOGRAPHIC_QUOTES,
        f"has {_named(full[0] if full else '')} where YAML needs an ordinary one; type that": full,
        f"has ' #' in its text, which begins a comment in YAML; {remedy}": re.search(r"\s#", value),
        f"begins with {first!r}, which is punctuation in YAML; {remedy}": first in _SPECIAL
        and not is_quoted
        and (not is_flow or (has_field and _TEXT_AFTER_FLOW.match(value))),
        f"has ': ' in its text, which ends a field's name in YAML; {remedy}": ": " in value
        or (has_field and value.endswith(":")),
    }
    return next((message for message, applies in mistakes.items() if applies), None)


def _named(character: str) -> str:
    """Describe the first of these characters, which looks like another one."""
    character = character[:1]
    if not character or character == "\t":
        return "a tab" if character else ""
    return f"{character!r} ({unicodedata.name(character, f'U+{ord(character):04X}')})"


def _outside_blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines, except those in a block of text that begins with ``|`` or ``>``."""
    depth: int | None = None
    for number, line in enumerate(_BREAK.split(text), 1):
        indent = len(line) - len(line.lstrip())
        if depth is not None and (not line.strip() or indent > depth):
            continue
        depth = None
        if match := _BLOCK.fullmatch(line):
            depth = len(match[1])
        yield number, line
