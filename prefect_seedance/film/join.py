"""Join archived clips into one film, and store it with its record."""

import asyncio
import hashlib
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from os import SEEK_END
from typing import BinaryIO, cast

from pydantic import ValidationError

from prefect_seedance.errors import ArchiveError
from prefect_seedance.film.assembly import assemble
from prefect_seedance.film.scenes import Film, Join, Scene
from prefect_seedance.options import JoinStyle
from prefect_seedance.storage.file_names import download_name, safe_name
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.tempfiles import GuardedFile, temporary_file
from prefect_seedance.video.probe import open_video, tracks
from prefect_seedance.video.transcode import Transcoder

_RECIPE_VERSIONS = {"copied": 1, "exact": 2}
"""Raised whenever the same clips are joined in another way, so that films are joined again."""

_TOLERANCE_SECONDS = 0.02
"""Half of a frame."""


_NUMBERED = re.compile(r"film-[0-9a-f]{12}\.mp4")
"""The name of a film with its digest."""

_POINTING = ("film.json", "manifest.json", "report.html")
"""The files of a production that may point to a film by this name."""


async def join_clips(
    store: Store, scenes: Sequence[Scene], *, production: str, title: str, style: JoinStyle
) -> Film:
    """Join a production's archived clips in order, unless that has been done.

    Clips are fetched one after another. The film is written to an unnamed temporary file, then stored as a
    whole, and its record last. The key contains the digest, so a concurrent run cannot falsify the record.

    Args:
        store: Of the archive.
        scenes: Of the film, including missing clips.
        production: Name of the production, as in keys.
        title: Title of the production.
        style: How to join them.

    Raises:
        ArchiveError: If there is no clip, or the archive or the temporary folder cannot be written.
    """
    last = await find_film(store, production)
    if last and last.recipe == _recipe(scenes, style, join=last.join) and await _is_stored(store, last):
        return last
    with temporary_file() as file:
        made = await assemble(store, scenes, style=style, out=cast(BinaryIO, GuardedFile(file)))
        sha256 = await asyncio.to_thread(_digest, file, seconds=made.end_seconds)
        join: Join = "exact" if isinstance(made.joiner, Transcoder) else "copied"
        film = Film(
            production=production,
            title=title,
            key=_key(production, f"film-{sha256[:12]}.mp4"),
            stable_key=_key(production, "film.mp4"),
            sha256=sha256,
            size_bytes=file.seek(0, SEEK_END),
            duration_seconds=made.end_seconds,
            width=made.model.width,
            height=made.model.height,
            frame_rate=made.model.frame_rate,
            has_sound=made.has_sound,
            join=join,
            reason=made.reason,
            parts=tuple(made.parts),
            gaps=tuple(made.gaps),
            recipe=_recipe(made.scenes, style, join=join),
            joined_at=datetime.now(UTC),
        )
        metadata = download_name(f"{safe_name(title) or production}.mp4")
        await store.put(film.key, file, media_type="video/mp4", metadata=metadata)
    await store.copy(film.key, film.stable_key)
    await store.put(_key(production, "film.json"), film.model_dump_json(indent=2).encode())
    return film


async def find_film(store: Store, production: str) -> Film | None:
    """Return the record of a production's film; None if there is none, or if it is damaged."""
    content = await store.read(_key(production, "film.json"))
    if content is None:
        return None
    try:
        return Film.model_validate_json(content)
    except ValidationError:
        return None


async def prune_films(store: Store, production: str) -> None:
    """Delete the production's former films, except those that its record, manifest or report points to.

    A film can be joined again at no cost, from the clips.

    Raises:
        ArchiveError: If the archive cannot be read, or does not permit it.
    """
    names = await store.names(_key(production, "").rstrip("/"))
    former = [name for name in names if _NUMBERED.fullmatch(name)]
    if len(former) <= 1:
        return
    pointing = [await store.read(_key(production, file)) or b"" for file in _POINTING]
    for name in former:
        if not any(name.encode() in content for content in pointing):
            await store.delete(_key(production, name))


async def _is_stored(store: Store, film: Film) -> bool:
    sizes = await asyncio.gather(*[store.size_bytes(key) for key in (film.key, film.stable_key)])
    return set(sizes) == {film.size_bytes}


def _key(production: str, file: str) -> str:
    return f"productions/{production}/{file}"


def _digest(file: BinaryIO, *, seconds: float) -> str:
    """Check that a film is as long as its parts, and return its digest.

    Raises:
        ArchiveError: The duration differs.
    """
    with open_video(file) as container:
        video, _ = tracks(container)
        duration_seconds = float((video.duration or 0) * (video.time_base or 0))
    if abs(duration_seconds - seconds) > _TOLERANCE_SECONDS:
        raise ArchiveError(
            f"The film lasts {duration_seconds:.3f} s instead of {seconds:.3f} s; report this bug"
        )
    file.seek(0)
    return hashlib.file_digest(cast(io.BufferedRandom, file), "sha256").hexdigest()


def _recipe(scenes: Sequence[Scene], style: JoinStyle, *, join: Join) -> str:
    """Return a digest of everything that decides a film's bytes."""
    shown = [
        [scene.number, scene.name, scene.seconds, scene.clip and scene.clip.sha256, scene.reason]
        if style.gaps == "slate"
        else [scene.number, scene.clip and scene.clip.sha256]
        for scene in scenes
    ]
    recipe = [_RECIPE_VERSIONS[join], style.model_dump(), shown]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
