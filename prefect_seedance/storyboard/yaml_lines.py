"""YAML and JSON as plain data with the line of every value."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import yaml

Loc: TypeAlias = tuple[str | int, ...]
"""Where a value stands: keys and positions from the top, such as ``("shots", 1, "prompt")``."""

_DEEPEST: Final = 16
"""How deep values may nest. A storyboard needs four levels; a bound keeps a file of brackets from
exhausting Python's stack."""

_CONSTANTS: Final[Mapping[str, bool | None]] = {
    "": None,
    "~": None,
    **{
        spelled: value
        for word, value in (("null", None), ("true", True), ("false", False))
        for spelled in (word, word.title(), word.upper())
    },
}
_WHOLE_NUMBER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FRACTION: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,3})?")


class Blemish(NamedTuple):
    """Something wrong with the writing itself: the line, what it is and the remedy."""

    line: int | None
    message: str


class UnreadableError(ValueError):
    """The text cannot be read as data."""

    def __init__(self, blemish: Blemish) -> None:
        super().__init__(blemish.message)
        self.blemish = blemish


@dataclass(frozen=True, kw_only=True)
class MarkedData:
    """What a text says.

    Attributes:
        value: Mappings, lists, texts, numbers, truth values and None.
        lines: The line, from 1, at which each value or its key begins.
        repeated: Keys that stand twice; the first counts.
    """

    value: object
    lines: Mapping[Loc, int]
    repeated: Mapping[Loc, Blemish]


def read_marked(text: str) -> MarkedData:
    """Read one document of YAML, or of JSON, which is YAML but for its tabs.

    Only what JSON could say as well is read: unquoted ``true``, ``null`` and decimal numbers are values,
    and all else is text, so that ``16:9``, ``2026-11-22`` and ``no`` stay what the author typed. Aliases
    and tags are refused, so that no small file can grow and none can name a Python type.

    Raises:
        UnreadableError: At the first thing that keeps the text from being read.
    """
    if text.lstrip()[:1] in ("{", "["):
        text = text.replace("\t", " ")
    try:
        return _Reader(yaml.parse(text, Loader=yaml.SafeLoader)).read()
    except yaml.reader.ReaderError as error:
        raise UnreadableError(
            Blemish(
                text.count("\n", 0, error.position) + 1,
                f"holds the control character U+{ord(text[error.position]):04X}; remove it",
            )
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableError(
            Blemish(
                None if mark is None else mark.line + 1,
                f"is neither YAML nor JSON here: {error.problem}; "
                "indent with spaces, and put text that contains ': ' in quotes",
            )
        ) from error


class _Reader:
    """Turns the parser's events into data, noting where each value begins."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._lines: dict[Loc, int] = {}
        self._repeated: dict[Loc, Blemish] = {}

    def read(self) -> MarkedData:
        next(self._events)
        first = next(self._events)
        if isinstance(first, yaml.StreamEndEvent):
            raise UnreadableError(Blemish(None, "is empty; a storyboard begins with 'shots:'"))
        value = self._value(next(self._events), ())
        next(self._events)
        second = next(self._events)
        if not isinstance(second, yaml.StreamEndEvent):
            raise _refusal(second, "a second document begins here; keep one a file")
        return MarkedData(value=value, lines=self._lines, repeated=self._repeated)

    def _value(self, event: yaml.Event, trail: Loc) -> object:
        self._lines.setdefault(trail, _line(event))
        if isinstance(event, yaml.AliasEvent):
            raise _refusal(
                event, f"the alias *{event.anchor} is not read; write it out or say it under 'defaults'"
            )
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise _refusal(
                event, f"the tag {event.tag} is not read; remove it, or quote text that begins with '!'"
            )
        if len(trail) > _DEEPEST:
            raise _refusal(event, f"nests deeper than {_DEEPEST} levels; a storyboard needs four")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(trail)
        return self._mapping(trail)

    def _list(self, trail: Loc) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*trail, len(values))))
        return values

    def _mapping(self, trail: Loc) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            within = (*trail, key)
            if key in values:
                self._repeat(within, event)
                self._value(next(self._events), within)
            else:
                self._lines[within] = _line(event)
                values[key] = self._value(next(self._events), within)
        return values

    def _key(self, event: yaml.Event) -> str:
        if isinstance(event, yaml.ScalarEvent):
            return _whole(event.value)
        raise _refusal(
            event, "a field's name is expected here; quote text that begins with '{', '[', '*' or '?'"
        )

    def _repeat(self, trail: Loc, event: yaml.Event) -> None:
        line = self._lines[trail]
        self._repeated[trail] = Blemish(
            _line(event), f"stands here again, after line {line}; keep one of them"
        )


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


def _refusal(event: yaml.Event, message: str) -> UnreadableError:
    return UnreadableError(Blemish(_line(event), message))


def _scalar(event: yaml.ScalarEvent) -> object:
    text = _whole(event.value)
    if event.style is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return float(text) if _FRACTION.fullmatch(text) else text


def _whole(text: str) -> str:
    """Join the surrogate pairs as which JSON escapes emoji."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
