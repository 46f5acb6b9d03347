"""YAML and JSON as plain data with the line of every value."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import yaml

from prefect_seedance.storyboard.comments import Comment, comment_after, comment_in_header

Loc: TypeAlias = tuple[str | int, ...]
"""The path of a value: keys and positions from the top, such as ``("shots", 1, "prompt")``."""

_MAX_DEPTH: Final = 16
"""How deep values may nest. A storyboard needs four levels; the limit keeps a file of brackets from
exhausting Python's stack."""

_CONSTANTS: Final[Mapping[str, bool | None]] = {
    "": None,
    "~": None,
    **{
        spelling: value
        for word, value in (("null", None), ("true", True), ("false", False))
        for spelling in (word, word.title(), word.upper())
    },
}
_BREAK: Final = re.compile(r"\r\n|\n|\r")
"""A line break as editors count lines. YAML 1.1 counts the next three as well, which no editor shows."""

_SEPARATORS: Final[Mapping[str, str]] = {
    "\x85": "next line",
    "\u2028": "line separator",
    "\u2029": "paragraph separator",
}
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,3})?")


class SyntaxIssue(NamedTuple):
    """One problem with the syntax: the line, if known, and a message with the remedy."""

    line: int | None
    message: str


class UnreadableError(ValueError):
    """The text cannot be parsed.

    Attributes:
        issue: The first problem.
        is_unclear: Whether the issue is what YAML noticed, which may be far from its cause.
    """

    def __init__(self, issue: SyntaxIssue, *, is_unclear: bool = False) -> None:
        super().__init__(issue.message)
        self.issue = issue
        self.is_unclear = is_unclear


@dataclass(frozen=True, kw_only=True)
class ParsedYaml:
    """The data of a text.

    Attributes:
        value: Mappings, lists, strings, numbers, booleans and None.
        lines: The line, from 1, at which each value or its key begins.
        issues: Keys that occur twice in one mapping, whose first occurrence counts, and comments that cut off
            a text.
        continued: Lines that continue a text without quotes.
    """

    value: object
    lines: Mapping[Loc, int]
    issues: Mapping[Loc, SyntaxIssue]
    continued: frozenset[int]


def parse_yaml(text: str) -> ParsedYaml:
    """Parse one document of YAML or JSON.

    Only JSON's types are parsed: unquoted ``true``, ``null`` and decimal numbers are values, and everything
    else is text, so ``16:9``, ``2026-11-22`` and ``no`` stay as typed. Aliases and tags are refused: an
    alias can make a small file grow without limit, and a tag can name a Python type.

    Raises:
        UnreadableError: The text has a syntax error; only the first one is reported.
    """
    if is_json(text):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML may not
    elif separator := next((character for character in text if character in _SEPARATORS), None):
        raise UnreadableError(
            SyntaxIssue(
                _Lines(text).at(text.index(separator)),
                f"contains the {_SEPARATORS[separator]} U+{ord(separator):04X}, an invisible line break; "
                "replace it with a blank or an ordinary line break",
            )
        )
    lines = _Lines(text)
    try:
        return _Parser(yaml.parse(text, Loader=yaml.SafeLoader), text=text, lines=lines).parse()
    except yaml.reader.ReaderError as error:
        raise UnreadableError(
            SyntaxIssue(
                lines.at(error.position),
                f"contains the control character U+{ord(text[error.position]):04X}; remove it",
            )
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableError(
            SyntaxIssue(
                None if mark is None else lines.at(mark.index),
                f"is neither YAML nor JSON: {error.problem}; "
                "indent all fields of a shot equally, with spaces, and put text in quotes that contains ': '",
            ),
            is_unclear=True,
        ) from error


def is_json(text: str) -> bool:
    """Return whether a text has the form of JSON."""
    return text.lstrip()[:1] in ("{", "[")


class _Lines:
    """Line numbers of a text, from 1, as editors count them."""

    def __init__(self, text: str) -> None:
        self._ends = [match.end() for match in _BREAK.finditer(text)]

    def at(self, index: int) -> int:
        """Return the line of a character."""
        return bisect_right(self._ends, index) + 1


class _Parser:
    """Builds data from YAML events, with the line of each value."""

    def __init__(self, events: Iterator[yaml.Event], *, text: str, lines: _Lines) -> None:
        self._events = events
        self._text = text
        self._numbers = lines
        self._lines: dict[Loc, int] = {}
        self._issues: dict[Loc, SyntaxIssue] = {}
        self._continued: set[int] = set()
        self._column = 0

    def parse(self) -> ParsedYaml:
        next(self._events)
        first = next(self._events)
        if isinstance(first, yaml.StreamEndEvent):
            raise UnreadableError(SyntaxIssue(None, "is empty; a storyboard begins with 'shots:'"))
        value = self._value(next(self._events), ())
        next(self._events)
        second = next(self._events)
        if not isinstance(second, yaml.StreamEndEvent):
            raise self._error(second, "a second document begins here; use one file per document")
        return ParsedYaml(
            value=value, lines=self._lines, issues=self._issues, continued=frozenset(self._continued)
        )

    def _value(self, event: yaml.Event, loc: Loc) -> object:
        self._lines.setdefault(loc, self._line(event))
        if isinstance(event, yaml.AliasEvent):
            raise self._error(
                event,
                f"the alias *{event.anchor} is not supported; repeat the value, or set it under 'defaults'; "
                "put text that begins with '*' in quotes",
            )
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise self._error(
                event, f"the tag {event.tag} is not supported; remove it, or quote text that begins with '!'"
            )
        if len(loc) > _MAX_DEPTH:
            raise self._error(event, f"nests deeper than {_MAX_DEPTH} levels; a storyboard needs four")
        if isinstance(event, yaml.ScalarEvent):
            return self._text_value(event, loc)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(loc)
        return self._mapping(loc)

    def _list(self, loc: Loc) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*loc, len(values))))
        return values

    def _mapping(self, loc: Loc) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            inner = (*loc, key)
            self._column = event.start_mark.column if event.start_mark else 0
            if key in values:
                self._add_duplicate(inner, event)
                self._value(next(self._events), inner)
            else:
                self._lines[inner] = self._line(event)
                values[key] = self._value(next(self._events), inner)
        return values

    def _key(self, event: yaml.Event) -> str:
        if isinstance(event, yaml.ScalarEvent):
            return _join_surrogates(event.value)
        raise self._error(event, "expected a field name; quote text that begins with '{', '[', '*' or '?'")

    def _text_value(self, event: yaml.ScalarEvent, loc: Loc) -> object:
        """Return a scalar's value, and record whether YAML has cut it off."""
        if event.anchor is not None:
            raise self._error(
                event,
                f"the anchor &{event.anchor} is not supported; put text that begins with '&' in quotes",
            )
        if event.start_mark and event.end_mark:
            start, end = event.start_mark.index, event.end_mark.index
            if event.style is None:
                self._check_comment(comment_after(self._text, end, column=self._column), end, loc)
                self._continued.update(range(self._line(event) + 1, self._numbers.at(end) + 1))
            else:
                self._check_comment(comment_in_header(self._text, start), start, loc)
        return _scalar(event)

    def _check_comment(self, comment: Comment | None, index: int, loc: Loc) -> None:
        field = next((key for key in reversed(loc) if isinstance(key, str)), "")
        if comment and (message := comment.problem(field)):
            self._issues.setdefault(loc, SyntaxIssue(self._numbers.at(index), message))

    def _add_duplicate(self, loc: Loc, event: yaml.Event) -> None:
        first = self._lines[loc]
        self._issues[loc] = SyntaxIssue(
            self._line(event), f"appears again, after line {first}; keep one of the two"
        )

    def _line(self, event: yaml.Event) -> int:
        return self._numbers.at(event.start_mark.index) if event.start_mark else 1

    def _error(self, event: yaml.Event, message: str) -> UnreadableError:
        return UnreadableError(SyntaxIssue(self._line(event), message))


def _scalar(event: yaml.ScalarEvent) -> object:
    text = _join_surrogates(event.value)
    if event.style is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _join_surrogates(text: str) -> str:
    """Join surrogate pairs: JSON escapes an emoji as two of them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
