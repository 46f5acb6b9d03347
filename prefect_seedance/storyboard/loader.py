"""Find the author's words wherever they are: a file, a folder of images, a URL, an object."""

import asyncio
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import httpx

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.transport import timeouts, translated_errors
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.objects import Objects, Opener
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.document import MOST_BYTES, Document
from prefect_seedance.storyboard.image_inspection import check_size
from prefect_seedance.storyboard.parser import ParsedStoryboard, parse_storyboard
from prefect_seedance.storyboard.schema import ClipList, Storyboard

_ANSWER_SECONDS = 30.0

_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"}
)
"""Files of a folder that mean to be images, also of formats that no model takes: to skip one silently
would buy a film without it."""

Source = Storyboard | ClipList | Path | str
"""A file's or folder's path, a URL, an object's address, or what would stand in a file."""


async def _only_urls(place: str) -> Store:
    return Store.open(place)


async def load_storyboard(
    source: Source | ParsedStoryboard,
    *,
    model: str = DEFAULT_MODEL,
    prompt: str = "",
    allow_outside: bool = False,
    opener: Opener = _only_urls,
) -> ParsedStoryboard:
    """Read a storyboard or a list of clips.

    Args:
        source: Where it is, or itself, or what was read of it, which is not read again.
        model: Whose limits hold.
        prompt: What happens between the images, if the source is a folder of them.
        allow_outside: Permit images outside the storyboard's folder, by absolute path.
        opener: Opens the store that the source lies in, if it is an object's address.

    Raises:
        StoryboardError: If it cannot be found, or has mistakes.
        SetupError: If it was read for another model, or its store cannot be opened.
    """
    if isinstance(source, ParsedStoryboard):
        if source.model != model:
            raise SetupError(f"{source.title} was read for {source.model}, and the account has {model}")
        return source
    objects, address = Objects(opener), Location.parse(source) if isinstance(source, str) else None
    if address:
        document = await _in_store(address, objects=objects, prompt=prompt)
    elif isinstance(source, str) and source.startswith(("https://", "http://")):
        content, found_at = await _fetched(source)
        document = Document.parse(content, name=source, base_url=found_at)
    elif isinstance(source, Storyboard | ClipList):
        document = Document.inline(source.model_dump(mode="json", exclude_none=True))
    else:
        return await asyncio.to_thread(
            _open_local, Path(source), model=model, prompt=prompt, allow_outside=allow_outside
        )
    loop, is_over = asyncio.get_running_loop(), threading.Event()

    def fetch(image: Location) -> bytes:
        if is_over.is_set():  # nobody waits for the rest
            raise StoryboardError(f"{image} was not read")
        return asyncio.run_coroutine_threadsafe(_image(image, objects=objects), loop).result()

    try:
        return await asyncio.to_thread(
            parse_storyboard, document, model=model, allow_outside=allow_outside, fetch=fetch
        )
    finally:
        is_over.set()


def _open_local(path: Path, *, model: str, prompt: str, allow_outside: bool) -> ParsedStoryboard:
    path = path.expanduser()
    if path.is_dir():
        folder = path.absolute()
        return parse_storyboard(storyboard_of(folder, names_in(folder), prompt=prompt), model=model)
    return parse_storyboard(Document.load(path), model=model, allow_outside=allow_outside)


async def _in_store(address: Location, *, objects: Objects, prompt: str) -> Document:
    """Read an object or, if there is none of this name, a folder of images."""
    size_bytes = await objects.size_bytes(address)
    names = await objects.names(address) if size_bytes is None else ()
    if names or not address.key:
        return storyboard_of(address, names, prompt=prompt)
    if size_bytes is not None and size_bytes > MOST_BYTES:
        raise StoryboardError(f"{address} is larger than {MOST_BYTES // 1000} kB, as no storyboard is")
    return Document.parse(await objects.read(address), name=str(address), folder=address.folder)


async def _image(address: Location, *, objects: Objects) -> bytes:
    check_size(await objects.size_bytes(address) or 0, source=str(address))
    return await objects.read(address)


async def _fetched(url: str) -> tuple[bytes, str]:
    """Return what a URL serves, and where it was found in the end."""
    content = b""
    with translated_errors(f"GET {url}"):
        async with (
            httpx.AsyncClient(timeout=timeouts(_ANSWER_SECONDS), follow_redirects=True) as http,
            http.stream("GET", url) as response,
        ):
            if not response.is_success:
                raise StoryboardError(f"{url} cannot be read ({response.status_code})")
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MOST_BYTES:
                    break  # the reader says how large it may be
            return content, str(response.url)


def names_in(folder: Path) -> tuple[str, ...]:
    """Return the names of all that is in a folder of this machine.

    Raises:
        StoryboardError: The folder cannot be listed.
    """
    try:
        return tuple(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise StoryboardError(
            f"{folder} cannot be listed ({error.strerror}); name a folder of images"
        ) from error


def storyboard_of(folder: Path | Location, names: Iterable[str], *, prompt: str) -> Document:
    """Return a storyboard of a folder's images in the order of their names, with one prompt for all.

    Names are ordered as people count: ``2.png`` before ``10.png``.

    Args:
        folder: Where they are.
        names: Of all that is there; what is no image is left out.
        prompt: What happens from each image to the next.

    Raises:
        StoryboardError: There are no images, or there is no prompt.
    """
    images = sorted(filter(_is_image, names), key=_as_people_count)
    if not images:
        raise StoryboardError(f"{folder} holds no images; put two or more there")
    if not prompt.strip():
        raise StoryboardError(f"{folder} needs a prompt; say what happens between its images")
    words = {
        "title": folder.name,
        "defaults": {"prompt": prompt},
        "shots": [{"image": name} for name in images],
    }
    return Document.inline(words, name=folder.name, folder=folder)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")


def _as_people_count(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], name
