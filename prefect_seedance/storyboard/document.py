"""An author's file as data that remembers its lines."""

import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, Self
from urllib.parse import quote, urljoin

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storyboard.yaml_lines import Blemish, Loc, MarkedData, UnreadableError, read_marked

MOST_BYTES: Final = 1_000_000
"""How large a file may be: a thousand shots with long prompts. What is larger is not a storyboard."""

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Mistake(NamedTuple):
    """One thing for the author to mend.

    Attributes:
        place: The file and, if known, the line.
        trail: The field.
        message: What is wrong with it and what to do, in one line.
    """

    place: str
    trail: Loc
    message: str

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.place, spelled(self.trail), self.message) if part)
        return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def refuse(mistakes: Iterable[Mistake]) -> NoReturn:
    """Raise all mistakes as one error, each on a line of its message."""
    raise StoryboardError("\n".join(map(str, mistakes)))


def spelled(trail: Loc) -> str:
    """Write a trail as people do: ``shots[1].prompt``."""
    return "".join(map(_step, trail)).removeprefix(".")


def _escaped(sign: str) -> str:
    """Write a sign that would break the line, or steer a terminal, as Python does."""
    return sign.encode("unicode_escape").decode()


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _PLAIN_NAME.fullmatch(key) else f"[{key!r}]"


@dataclass(frozen=True, kw_only=True)
class Document:
    """What an author wrote, and where.

    Attributes:
        value: Mappings, lists, texts, numbers, truth values and None.
        name: What messages call it.
        folder: The folder that names of files are relative to, on this machine or in a store.
        base_url: The URL that names of files are relative to, for a document that came from one. It
            stands instead of a folder: what was fetched from elsewhere names no file of this machine.
        lines: The line at which each value begins; empty if it was not read from text.
        mistakes: What is wrong with the writing, though it could be read.
    """

    value: object
    name: str = "storyboard"
    folder: Path | Location | None = None
    base_url: str | None = None
    lines: Mapping[Loc, int] = field(default_factory=dict, repr=False)
    mistakes: tuple[Mistake, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of YAML or JSON; what it names is relative to its folder.

        Raises:
            StoryboardError: It is missing, no file, too large, not UTF-8 or not to be read as data.
        """
        try:
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                what = "is a folder" if stat.S_ISDIR(mode) else "is no regular file"
                refuse([Mistake(str(path), (), f"{what}; name a storyboard file in YAML or JSON")])
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            refuse([Mistake(str(path), (), f"cannot be read ({reason}); looked for {path.absolute()}")])
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
        """Read the bytes of a file of YAML or JSON.

        Raises:
            StoryboardError: They are too large, not UTF-8 or not to be read as data.
        """
        try:
            marked = _marked(data)
        except UnreadableError as error:
            refuse([Mistake(_place(name, error.blemish.line), (), error.blemish.message)])
        mistakes = tuple(
            Mistake(_place(name, blemish.line), trail, blemish.message)
            for trail, blemish in marked.repeated.items()
        )
        return cls(
            value=marked.value,
            name=name,
            folder=folder,
            base_url=base_url,
            lines=marked.lines,
            mistakes=mistakes,
        )

    @classmethod
    def inline(
        cls, value: object, *, name: str = "storyboard", folder: Path | Location | None = None
    ) -> Self:
        """Take data that no file holds."""
        return cls(value=value, name=name, folder=folder)

    def line(self, trail: Loc) -> int | None:
        """Return the line of a value or, if it does not stand there, of the nearest thing around it."""
        around = (trail[:depth] for depth in range(len(trail), -1, -1))
        return next((self.lines[known] for known in around if known in self.lines), None)

    def place(self, trail: Loc) -> str:
        """Say where a value stands: ``board.yaml:12``, or only the name if lines are not known."""
        return _place(self.name, self.line(trail))

    def mistake(self, trail: Loc, message: str) -> Mistake:
        """Note what is wrong with the value at this trail."""
        return Mistake(self.place(trail), trail, message)

    def locate(self, name: str, *, allow_outside: bool) -> Path | Location | str:
        """Find what a name in this document means: a local path, an object, or a URL.

        Args:
            name: A path, relative or absolute, or a URL.
            allow_outside: Whether an absolute path may leave the document's folder.

        Raises:
            StoryboardError: The name leads out of the folder, or is relative to nothing.
        """
        if "://" in name or name.startswith("data:"):
            return name
        if isinstance(self.folder, Location):
            return self.folder.find(name, allow_outside=allow_outside)
        if self.base_url is not None:
            return urljoin(self.base_url, quote(name))
        try:
            return _inside(self.folder, Path(name), allow_outside=allow_outside)
        except (OSError, RuntimeError, ValueError) as error:
            raise StoryboardError(f"{name!r} is not a path: {error}") from error


def _inside(folder: Path | None, path: Path, *, allow_outside: bool) -> Path:
    if path.is_absolute() and allow_outside:
        return path.resolve()
    if folder is None:
        raise StoryboardError(
            f"'{path}' is a local file, and this storyboard has no folder; "
            "give an https URL, or an absolute path and allow images outside"
        )
    root = folder.resolve()
    found = (root / path).resolve()
    if not found.is_relative_to(root):
        raise StoryboardError(
            f"'{path}' leads out of the storyboard's folder {root}; "
            "move the image there, or give its absolute path and allow images outside"
        )
    return found


def _place(name: str, line: int | None) -> str:
    return name if line is None else f"{name}:{line}"


def _marked(data: bytes) -> MarkedData:
    if len(data) > MOST_BYTES:
        raise UnreadableError(
            Blemish(None, f"is larger than {MOST_BYTES // 1000} kB; a storyboard only names its images")
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(
            Blemish(
                data.count(b"\n", 0, error.start) + 1,
                f"is not UTF-8 (byte 0x{data[error.start]:02X}); save the file as UTF-8",
            )
        ) from error
    return read_marked(text)
