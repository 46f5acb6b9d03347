"""Copy the clips of a production to a folder, under their names for people."""

import asyncio
import json as jsons
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_existing
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.export_record import ExportRecord, sha256_of
from prefect_seedance.cli.options import PLAIN, Archive, Json, Production
from prefect_seedance.cli.printing import count, show, unbroken
from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.report.clip_names import clip_file, film_file
from prefect_seedance.report.manifest import Manifest, read_manifest
from prefect_seedance.storage.store import Store

app = App(
    name="export",
    default_parameter=PLAIN,
    help_epilogue="A second run copies only new clips, replaces clips that were made again, and removes "
    "those that are no longer in the production. It touches no file that it did not write. In an archive on "
    "your disk, the clips have these names already, in productions/NAME/clips.",
)


class _Video(NamedTuple):
    key: str
    sha256: str


class Exported(NamedTuple):
    """The result of an export.

    Attributes:
        files: The names in the folder, of this run and of earlier ones.
        replaced: Those of them that were another video before.
        removed: Names of former files, whose clips are no longer in the production.
        problems: Why a video could not be copied, by name.
    """

    folder: str
    files: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
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
    manifest = await read_manifest(store, name)
    try:
        return await _copy_all(store, manifest, folder)
    except OSError as error:
        raise SetupError(f"{folder} cannot be written ({error.strerror}); choose another --to") from None


async def _copy_all(store: Store, manifest: Manifest, folder: Path) -> Exported:
    """Make a folder show a production.

    Former files are removed first, because a new name may differ from a former one only in case.
    """
    videos, problems = _videos(manifest), dict[str, str]()
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    record = ExportRecord(folder, f"{store.name}#{manifest.production}")
    removed = await asyncio.to_thread(_remove_former, record, folder, keep=videos.keys())
    replaced = []
    for file, video in videos.items():
        try:
            if await _copy(store, video, folder / file, record):
                replaced.append(file)
        except ArchiveError as error:
            problems[file] = str(error)
    return Exported(
        folder=str(folder),
        files=tuple(file for file in videos if file not in problems),
        replaced=tuple(replaced),
        removed=tuple(removed),
        problems=problems,
    )


def _remove_former(record: ExportRecord, folder: Path, *, keep: Collection[str]) -> list[str]:
    """Remove the files of earlier exports that have no place in the production any more."""
    former = [name for name in record.digests if name not in keep]
    removed = [name for name in former if record.owns(name)]
    for name in removed:
        (folder / name).unlink()
    for name in former:
        record.note(name, None)
    return removed


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


async def _copy(store: Store, video: _Video, path: Path, record: ExportRecord) -> bool:
    """Copy a video and check its bytes, unless that has been done; return whether it replaces another.

    Raises:
        ArchiveError: The video is missing or has changed, or another file has its name.
        OSError: The folder cannot be written.
    """
    found = await asyncio.to_thread(sha256_of, path)
    if found == video.sha256:
        return False
    if found is not None and not await asyncio.to_thread(record.owns, path.name):
        raise ArchiveError(f"{path} is another file; move it, or choose another --to")
    staged = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with staged.open("w+b") as file:
            fetched = await store.fetch(video.key, file)
        if fetched != video.sha256:
            problem = "has changed since it was archived" if fetched else "is missing"
            raise ArchiveError(f"{store.link(video.key)} {problem}; restore it from a backup")
        record.note(path.name, video.sha256)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
    return found is not None


def _rendered(exported: Exported) -> Iterator[RenderableType]:
    yield unbroken(f"{exported.folder}/")
    for file in exported.files:
        yield unbroken(f"  {file}")
    changes = {"replaced": exported.replaced, "removed": exported.removed}
    said = ", ".join(f"{len(names)} {change}" for change, names in changes.items() if names)
    yield f"\n{count(len(exported.files), 'file')}{said and f'; {said}'}"
    for change, names in changes.items():
        for name in names:
            yield unbroken(f"  {change} {name}")
    for problem in exported.problems.values():
        yield Text(f"\n{problem}", "red")
