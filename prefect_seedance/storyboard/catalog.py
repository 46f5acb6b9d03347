"""Find the storyboards of a catalogue: in a folder or bucket, in a CSV file, or in a list."""

import asyncio
import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefect_seedance.api.urls import shown_url
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.locations import Location, is_path
from prefect_seedance.storage.names import composed
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storyboard.files import read_named
from prefect_seedance.storyboard.folder import in_order

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_MAX_CSV_BYTES: Final = 5_000_000
"""Some ten thousand lines."""

_COLUMNS: Final = ("storyboard", "priority")
"""Columns of a CSV file that are not parameters of a run."""


class CatalogItem(BaseModel):
    """A storyboard of a catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    storyboard: str = Field(min_length=1, description="Path, location in a bucket, or https URL.")
    priority: int | None = Field(
        default=None, description="Lower numbers are made first; storyboards without a number come last."
    )
    parameters: Mapping[str, Any] = Field(
        default_factory=dict, description="Parameters of its run that differ from those of the others."
    )

    @property
    def shown(self) -> str:
        """The storyboard for names, messages and reports: a URL without its signature."""
        return shown_source(self.storyboard)


Catalog = str | Sequence[str | CatalogItem]
"""A folder, a prefix, a CSV file, a storyboard, or a list of storyboards."""


async def read_catalog(catalog: Catalog, *, objects: Objects) -> tuple[CatalogItem, ...]:
    """Find the storyboards of a catalogue, in the order in which they are to be made.

    In a folder, or below a prefix, these are YAML and JSON files, and files ``storyboard.yaml`` (or ``.yml``,
    ``.json``) in its subfolders. A CSV file has a column ``storyboard``, with paths relative to the file; an
    optional column ``priority``; and columns named after parameters of a run, whose empty cells do not count.

    Args:
        catalog: Where to find them.
        objects: Reads and lists buckets.

    Raises:
        StoryboardError: There are none, or a CSV file or a list has mistakes; with all of them.
    """
    if isinstance(catalog, str):
        items = await _read(catalog, objects)
    else:
        given = [
            each if isinstance(each, CatalogItem) else CatalogItem(storyboard=each)
            for each in catalog
            if each
        ]
        here = Path.cwd()
        items = [each.model_copy(update={"storyboard": _beside(each.storyboard, here)}) for each in given]
    if not items:
        raise StoryboardError(
            f"{catalog or 'The catalogue'} contains no storyboards; add YAML files, or subfolders with a "
            "storyboard.yaml"
        )
    # Sorting keeps the order of equal items.
    return tuple(sorted(items, key=lambda item: (item.priority is None, item.priority or 0)))


async def _read(source: str, objects: Objects) -> list[CatalogItem]:
    location = Location.parse(source)
    if location is None:
        return (
            [CatalogItem(storyboard=source)]
            if "://" in source
            else await asyncio.to_thread(_read_local, source)
        )
    if _is_csv(source):
        return list(_parse(await objects.read(location), source, folder=location.folder))
    if location.key and await objects.size_bytes(location) is not None:
        return [CatalogItem(storyboard=source)]
    return _in_folder(await objects.tree(location), location)


def _read_local(source: str) -> list[CatalogItem]:
    path = composed(Path(source).expanduser().absolute())
    if path.is_dir():
        return _in_folder(_listed(path), path)
    if _is_csv(source):
        content = read_named(path, noun="CSV file", max_bytes=_MAX_CSV_BYTES)
        return list(_parse(content, path.name, folder=path.parent))
    return [CatalogItem(storyboard=str(path))]


def shown_source(source: str) -> str:
    """Return a path or location as it is, and a URL without its user, query and fragment."""
    return shown_url(source) if "://" in source and not Location.parse(source) else source


def _is_csv(source: str) -> bool:
    return source.lower().endswith(".csv")


def _in_folder(names: Iterable[str], folder: Path | Location) -> list[CatalogItem]:
    return [CatalogItem(storyboard=_beside(name, folder)) for name in _storyboards(names)]


def _listed(folder: Path) -> Iterator[str]:
    """Yield the paths of files in a folder and its subfolders, relative to the folder."""
    try:
        for entry in folder.iterdir():
            if not entry.is_dir():
                yield entry.name
            elif not entry.name.startswith("."):
                yield from (
                    f"{entry.name}/storyboard{suffix}" for suffix in _SUFFIXES if _is_in(entry, suffix)
                )
    except OSError as error:
        raise StoryboardError(
            f"{folder} cannot be listed ({error.strerror}); check its permissions"
        ) from error


def _is_in(folder: Path, suffix: str) -> bool:
    return folder.joinpath(f"storyboard{suffix}").is_file()


def _storyboards(names: Iterable[str]) -> list[str]:
    """Return the storyboards among relative paths, in natural order; one at most of each subfolder."""
    found: dict[str, str] = {}
    for name in sorted(names, key=_suffix_order):
        folder, _, file = name.rpartition("/")
        is_named = not file.startswith(".") and file.lower().endswith(_SUFFIXES)
        if is_named and not folder:
            found[name] = name
        elif is_named and "/" not in folder and file.rpartition(".")[0] == "storyboard":
            found.setdefault(folder, name)
    return in_order(found.values())


def _suffix_order(name: str) -> int:
    return next((number for number, suffix in enumerate(_SUFFIXES) if name.endswith(suffix)), len(_SUFFIXES))


def _parse(content: bytes, name: str, *, folder: Path | Location) -> Iterator[CatalogItem]:
    """Parse a CSV file.

    Raises:
        StoryboardError: With all mistakes, each with its line.
    """
    if len(content) > _MAX_CSV_BYTES:
        raise StoryboardError(f"{name} is larger than {_MAX_CSV_BYTES // 1_000_000} MB; divide the catalogue")
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), skipinitialspace=True)
        if "storyboard" not in (rows.fieldnames or ()):
            raise StoryboardError(f"{name}, line 1: there is no column 'storyboard'; add it to the header")
        lines = [(rows.line_num, row) for row in rows if any(row.values())]
    except (UnicodeDecodeError, csv.Error) as error:
        raise StoryboardError(f"{name} is not a CSV file in UTF-8 ({error})") from error
    problems: list[str] = []
    items = []
    for line, row in lines:
        try:
            items.append(_item(row, folder))
        except (ValidationError, StoryboardError) as error:
            problems.append(f"{name}, line {line}: {_problem(error)}")
    if problems:
        raise StoryboardError("\n".join(problems))
    yield from items


def _item(row: Mapping[str | None, Any], folder: Path | Location) -> CatalogItem:
    if None in row:
        raise StoryboardError("there are more cells than columns; quote text that contains commas")
    cells = {str(name).strip(): value.strip() for name, value in row.items() if value and value.strip()}
    if "storyboard" not in cells:
        raise StoryboardError("there is no storyboard")
    return CatalogItem.model_validate(
        {
            "storyboard": _beside(cells["storyboard"], folder),
            "priority": cells.get("priority"),
            "parameters": {name: value for name, value in cells.items() if name not in _COLUMNS},
        }
    )


def _beside(source: str, folder: Path | Location) -> str:
    """Return a storyboard's path or location, which is relative to a folder unless it is complete."""
    if not is_path(source):
        return source
    return str(folder.child(source) if isinstance(folder, Location) else folder / Path(source).expanduser())


def _problem(error: ValidationError | StoryboardError) -> str:
    if isinstance(error, StoryboardError):
        return str(error)
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
