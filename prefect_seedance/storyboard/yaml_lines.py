"""YAML and JSON as plain data with the line of every value."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import yaml

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
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,3})?")


class SyntaxIssue(NamedTuple):
    """One problem with the syntax: the line, if known, and a message with the remedy."""

    line: int | None
    message: str


class UnreadableError(ValueError):
    """The text cannot be parsed."""

    def __init__(self, issue: SyntaxIssue) -> None:
        super().__init__(issue.message)
        self.issue = issue


@dataclass(frozen=True, kw_only=True)
class ParsedYaml:
    """The data of a text.

    Attributes:
        value: Mappings, lists, strings, numbers, booleans and None.
        lines: The line, from 1, at which each value or its key begins.
        duplicates: Keys that occur twice in one mapping; the first occurrence counts.
    """

    value: object
    lines: Mapping[Loc, int]
    duplicates: Mapping[Loc, SyntaxIssue]


def parse_yaml(text: str) -> ParsedYaml:
    """Parse one document of YAML or JSON.

    Only JSON's types are parsed: unquoted ``true``, ``null`` and decimal numbers are values, and everything
    else is text, so ``16:9``, ``2026-11-22`` and ``no`` stay as typed. Aliases and tags are refused: an
    alias can make a small file grow without limit, and a tag can name a Python type.

    Raises:
        UnreadableError: The text has a syntax error; only the first one is reported.
    """
    if text.lstrip()[:1] in ("{", "["):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML may not
    try:
        return _Parser(yaml.parse(text, Loader=yaml.SafeLoader)).parse()
    except yaml.reader.ReaderError as error:
        raise UnreadableError(
            SyntaxIssue(
                text.count("\n", 0, error.position) + 1,
                f"contains the control character U+{ord(text[error.position]):04X}; remove it",
            )
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableError(
            SyntaxIssue(
                None if mark is None else mark.line + 1,
                f"is neither YAML nor JSON: {error.problem}; "
                "indent with spaces, and quote text that contains ': '",
            )
        ) from error


class _Parser:
    """Builds data from YAML events, with the line of each value."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._lines: dict[Loc, int] = {}
        self._duplicates: dict[Loc, SyntaxIssue] = {}

    def parse(self) -> ParsedYaml:
        next(self._events)
        first = next(self._events)
        if isinstance(first, yaml.StreamEndEvent):
            raise UnreadableError(SyntaxIssue(None, "is empty; a storyboard begins with 'shots:'"))
        value = self._value(next(self._events), ())
        next(self._events)
        second = next(self._events)
        if not isinstance(second, yaml.StreamEndEvent):
            raise _error(second, "a second document begins here; use one file per document")
        return ParsedYaml(value=value, lines=self._lines, duplicates=self._duplicates)

    def _value(self, event: yaml.Event, loc: Loc) -> object:
        self._lines.setdefault(loc, _line(event))
        if isinstance(event, yaml.AliasEvent):
            raise _error(
                event,
                f"the alias *{event.anchor} is not supported; repeat the value, or set it under 'defaults'",
            )
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise _error(
                event, f"the tag {event.tag} is not supported; remove it, or quote text that begins with '!'"
            )
        if len(loc) > _MAX_DEPTH:
            raise _error(event, f"nests deeper than {_MAX_DEPTH} levels; a storyboard needs four")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
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
            if key in values:
                self._add_duplicate(inner, event)
                self._value(next(self._events), inner)
            else:
                self._lines[inner] = _line(event)
                values[key] = self._value(next(self._events), inner)
        return values

    def _key(self, event: yaml.Event) -> str:
        if isinstance(event, yaml.ScalarEvent):
            return _join_surrogates(event.value)
        raise _error(event, "expected a field name; quote text that begins with '{', '[', '*' or '?'")

    def _add_duplicate(self, loc: Loc, event: yaml.Event) -> None:
        first = self._lines[loc]
        self._duplicates[loc] = SyntaxIssue(_line(event), f"is a duplicate of line {first}; keep one of them")


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


def _error(event: yaml.Event, message: str) -> UnreadableError:
    return UnreadableError(SyntaxIssue(_line(event), message))


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
