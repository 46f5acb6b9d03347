"""A parsed file that knows its lines."""

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, Self
from urllib.parse import quote, urljoin

from prefect_seedance.doors import option
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.names import composed, path_suggestion
from prefect_seedance.storyboard.files import read_regular
from prefect_seedance.storyboard.image_kinds import HEAD_BYTES, kind_of
from prefect_seedance.storyboard.schema import FIELDS
from prefect_seedance.storyboard.typos import layout_typos, value_typo
from prefect_seedance.storyboard.yaml_lines import Loc, SyntaxIssue, UnreadableError, parse_yaml

MAX_DOCUMENT_BYTES: Final = 1_000_000
"""The largest storyboard file: a thousand shots with long prompts fit."""

_MAX_ISSUES: Final = 20
"""Errors in one message; more do not help, and a file can have a hundred thousand."""

_MAX_ISSUE_CHARACTERS: Final = 400
_MAX_POSITION_CHARACTERS: Final = 100
_MAX_LOC_CHARACTERS: Final = 60
_MAX_PART_CHARACTERS: Final = 5000
"""Far more than is shown of a part; the name of a field can have a million."""

_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Issue(NamedTuple):
    """One error in a document.

    Attributes:
        position: The document's name and, if known, the line.
        loc: The path of the field.
        message: The problem and its remedy, in one line.
    """

    position: str
    loc: Loc
    message: str

    def __str__(self) -> str:
        position = _printable(self.position)
        if len(position) > _MAX_POSITION_CHARACTERS:  # its end has the file's name and the line
            position = f"…{position[1 - _MAX_POSITION_CHARACTERS :]}"
        loc = _cut(_printable(format_loc(self.loc)), _MAX_LOC_CHARACTERS)
        parts = (position, loc, _printable(self.message))
        return _cut(": ".join(filter(None, parts)), _MAX_ISSUE_CHARACTERS)


def raise_issues(issues: Sequence[Issue]) -> NoReturn:
    """Raise the first twenty issues as one StoryboardError, one line each, with the number of the others."""
    more = len(issues) - _MAX_ISSUES
    lines = [*map(str, issues[:_MAX_ISSUES]), *([f"and {more:,} more"] if more > 0 else [])]
    raise StoryboardError("\n".join(lines))


def format_loc(loc: Loc) -> str:
    """Format the path of a field, with positions from 1, as plans number clips: ``shot 2, prompt``."""
    parts: list[str] = []
    for key in loc:
        if not isinstance(key, int):
            parts.append(key if _PLAIN_NAME.fullmatch(key) else repr(key))
        elif parts:
            parts[-1] = f"{parts[-1].removesuffix('s')} {key + 1}"
        else:
            parts.append(f"entry {key + 1}")
    return ", ".join(parts)


def _printable(text: str) -> str:
    """Return the beginning of a text, with characters that break a line or control a terminal escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[:_MAX_PART_CHARACTERS]
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


@dataclass(frozen=True, kw_only=True)
class Document:
    """The data of an author's file, with the line of each value.

    Attributes:
        value: Mappings, lists, strings, numbers, booleans and None.
        name: The document's name in messages.
        folder: The folder that file names are relative to, local or in a store.
        base_url: The URL that file names are relative to, for a document from a URL. It replaces `folder`, so
            that a downloaded document cannot name local files.
        lines: The line at which each value begins; empty if the document was not parsed from text.
        issues: Syntax problems that did not stop the parser.
        is_folder: Whether it was made from a folder of images.
        note: What the author may not expect about a document that is in order; empty if there is nothing.
        typos: Lines that look mistyped. They are reported only if there are issues, because they may be text.
    """

    value: object
    name: str = "storyboard"
    folder: Path | Location | None = None
    base_url: str | None = None
    lines: Mapping[Loc, int] = field(default_factory=dict, repr=False)
    issues: tuple[Issue, ...] = ()
    typos: tuple[Issue, ...] = ()
    note: str = ""
    is_folder: bool = False

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a local YAML or JSON file; the file names in it are relative to its folder.

        Raises:
            StoryboardError: The file is missing, irregular, too large, not UTF-8, or not YAML or JSON.
        """
        try:
            data = read_regular(composed(path), max_bytes=MAX_DOCUMENT_BYTES)
        except (OSError, ValueError) as error:
            full = path.absolute()
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            similar = path_suggestion(full) if isinstance(error, FileNotFoundError) else ""
            raise_issues(
                [Issue(str(path), (), f"cannot be read ({reason}); the full path is {full}{similar}")]
            )
        return cls.parse(data, name=path.name, folder=path.absolute().parent)

    @classmethod
    def parse(
        cls,
        data: bytes,
        *,
        name: str,
        folder: Path | Location | None = None,
        base_url: str | None = None,
    ) -> Self:
        """Parse the bytes of a YAML or JSON file.

        Raises:
            StoryboardError: The bytes are too large, not UTF-8, or not YAML or JSON.
        """
        mistyped: tuple[SyntaxIssue, ...] = ()
        try:
            text = _decode(data)
            mistyped = layout_typos(text, fields=FIELDS)
            parsed = parse_yaml(text)
        except UnreadableError as error:
            if not error.is_unclear:
                mistyped = (error.issue,)
            mistyped = mistyped or (value_typo(text, error.issue.line) or error.issue,)
            raise_issues([_issue(name, typo) for typo in mistyped])
        swallowed = [_issue(name, typo) for typo in layout_typos(text, fields=FIELDS, lines=parsed.continued)]
        issues = [_issue(name, issue, loc=loc) for loc, issue in parsed.issues.items()]
        return cls(
            value=parsed.value,
            name=name,
            folder=folder,
            base_url=base_url,
            lines=parsed.lines,
            issues=(*swallowed, *issues),
            typos=tuple(_issue(name, typo) for typo in mistyped),
        )

    @classmethod
    def inline(
        cls,
        value: object,
        *,
        name: str = "storyboard",
        folder: Path | Location | None = None,
        note: str = "",
        is_folder: bool = False,
    ) -> Self:
        """Wrap data that does not come from a file."""
        return cls(value=value, name=name, folder=folder, note=note, is_folder=is_folder)

    def line(self, loc: Loc) -> int | None:
        """Return the line of a value or, if it is absent, of the nearest value that encloses it."""
        enclosing = (loc[:depth] for depth in range(len(loc), -1, -1))
        return next((self.lines[known] for known in enclosing if known in self.lines), None)

    def position(self, loc: Loc) -> str:
        """Return the position of a value: ``board.yaml:12``, or the name alone if lines are unknown."""
        return _position(self.name, self.line(loc))

    def issue(self, loc: Loc, message: str) -> Issue:
        """Create an issue about the value at this path."""
        return Issue(self.position(loc), loc, message)

    def refuse(self, issues: Iterable[Issue]) -> NoReturn:
        """Raise the issues as one StoryboardError, after the lines that look mistyped."""
        mistyped = {typo.position for typo in self.typos}
        raise_issues([*self.typos, *(issue for issue in issues if issue.position not in mistyped)])

    def locate(self, name: str, *, allow_outside: bool) -> Path | Location | str:
        """Return the local path, stored object or URL that a file name in this document refers to.

        Args:
            name: A path, relative or absolute, or a URL.
            allow_outside: Permit absolute paths outside the document's folder.

        Raises:
            StoryboardError: The name leads outside the folder, or is relative and there is no folder.
        """
        if "://" in name or name.startswith("data:"):
            return name
        if isinstance(self.folder, Location):
            return self.folder.find(name, allow_outside=allow_outside)
        if self.base_url is not None:
            return urljoin(self.base_url, quote(name))
        try:
            return _resolve_inside(self.folder, Path(name), allow_outside=allow_outside)
        except (OSError, RuntimeError, ValueError) as error:
            raise StoryboardError(f"{name!r} is not a path: {error}") from error


def _resolve_inside(folder: Path | None, path: Path, *, allow_outside: bool) -> Path:
    if path.is_absolute() and allow_outside:
        return composed(path).resolve()
    if folder is None:
        raise StoryboardError(
            f"'{path}' is a local file, and this storyboard is not in a folder; "
            f"use an https URL, or an absolute path with {option('allow_outside', value=True)}"
        )
    root = folder.resolve()
    resolved = composed(root / path).resolve()
    if not resolved.is_relative_to(root):
        raise StoryboardError(
            f"'{path}' leads out of the storyboard's folder {root}; "
            f"move the image there, or use its absolute path with {option('allow_outside', value=True)}"
        )
    return resolved


def _remedy() -> str:
    return f"name a YAML or JSON file with 'shots:', or a folder of images with {option('prompt')}"


def _position(name: str, line: int | None) -> str:
    return name if line is None else f"{name}:{line}"


def _issue(name: str, issue: SyntaxIssue, *, loc: Loc = ()) -> Issue:
    return Issue(_position(name, issue.line), loc, issue.message)


def _decode(data: bytes) -> str:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise UnreadableError(
            SyntaxIssue(
                None, f"is larger than {MAX_DOCUMENT_BYTES // 1000} kB; name images instead of embedding them"
            )
        )
    is_binary = b"\0" in data[:HEAD_BYTES] and not data.startswith(_UTF_16)
    if is_binary and (kind := kind_of(data)):
        raise UnreadableError(SyntaxIssue(None, f"is {kind.name}, not a storyboard; {_remedy()}"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(
            SyntaxIssue(
                data.count(b"\n", 0, error.start) + 1,
                f"is not UTF-8 (byte 0x{data[error.start]:02X}); save the file as UTF-8",
            )
        ) from error
