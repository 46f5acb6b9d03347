"""Copy the clips of a production to a folder, under their names for people."""

import asyncio
import hashlib
import json as jsons
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_existing
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.options import PLAIN, Archive, Json, Production
from prefect_seedance.cli.printing import count, show, unbroken
from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.report.clip_names import clip_file, film_file
from prefect_seedance.report.manifest import Manifest, read_manifest
from prefect_seedance.storage.store import Store

app = App(
    name="export",
    default_parameter=PLAIN,
    help_epilogue="It replaces no file, and a second run copies only the missing ones. In an archive on your "
    "disk, the clips have these names already, in productions/NAME/clips.",
)


class _Video(NamedTuple):
    key: str
    sha256: str


class Exported(NamedTuple):
    """The result of an export.

    Attributes:
        files: The names in the folder, of this run and of earlier ones.
        problems: Why a video could not be copied, by name.
    """

    folder: str
    files: tuple[str, ...]
    problems: Mapping[str, str]


@app.default
def export(
    archive: Archive,
    name: Production = "",
    /,
    *,
    to: Annotated[str, Parameter(help="Folder for the files; it is created if it is missing.")],
    json: Json = False,
) -> int:
    """Copy the archived clips of a production, and its film, to a folder, under their names."""
    exported = asyncio.run(_export(archive, name, Path(to).expanduser().absolute()))
    show(*([jsons.dumps(exported._asdict(), indent=2)] if json else _rendered(exported)))
    return ExitCode.failed if exported.problems else ExitCode.complete


async def _export(archive: str, name: str, folder: Path) -> Exported:
    store = await open_existing(archive)
    videos = _videos(await read_manifest(store, name))
    problems: dict[str, str] = {}
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        for file, video in videos.items():
            try:
                await _copy(store, video, folder / file)
            except ArchiveError as error:
                problems[file] = str(error)
    except OSError as error:
        raise SetupError(f"{folder} cannot be written ({error.strerror}); choose another --to") from None
    files = tuple(file for file in videos if file not in problems)
    return Exported(folder=str(folder), files=files, problems=problems)


def _videos(manifest: Manifest) -> Mapping[str, _Video]:
    """Return the videos of a production, by name for people."""
    videos = {
        clip_file(manifest, entry): _Video(entry.clip.key, entry.clip.sha256)
        for entry in manifest.clips
        if entry.clip
    }
    if film := manifest.film:
        videos[film_file(manifest)] = _Video(film.key, film.sha256)
    return videos


async def _copy(store: Store, video: _Video, path: Path) -> None:
    """Copy a video and check its bytes, unless that has been done.

    Raises:
        ArchiveError: The video is missing or has changed, or another file has its name.
        OSError: The folder cannot be written.
    """
    if await asyncio.to_thread(_is_copied, path, video.sha256):
        return
    staged = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with staged.open("w+b") as file:
            found = await store.fetch(video.key, file)
        if found != video.sha256:
            problem = "has changed since it was archived" if found else "is missing"
            raise ArchiveError(f"{store.link(video.key)} {problem}; restore it from a backup")
        staged.rename(path)
    finally:
        staged.unlink(missing_ok=True)


def _is_copied(path: Path, sha256: str) -> bool:
    """Return whether a video was copied; raise if another file has its name."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
            return True
    raise ArchiveError(f"{path} is another file; move it, or choose another --to")


def _rendered(exported: Exported) -> Iterator[RenderableType]:
    yield unbroken(f"{exported.folder}/")
    for file in exported.files:
        yield unbroken(f"  {file}")
    yield f"\n{count(len(exported.files), 'file')}"
    for problem in exported.problems.values():
        yield Text(f"\n{problem}", "red")
