"""Load a storyboard from a file, a folder of images, a URL or a stored object."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from prefect_seedance.api.addresses import PUBLIC_HOSTS, HostPolicy
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.resource import fetch
from prefect_seedance.api.urls import shown_url
from prefect_seedance.api.wire import is_unicode
from prefect_seedance.doors import option
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.names import composed
from prefect_seedance.storage.objects import Objects, Opener
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.document import MAX_DOCUMENT_BYTES, Document
from prefect_seedance.storyboard.folder import Folder, in_order, list_folder, list_stored
from prefect_seedance.storyboard.parser import ParsedStoryboard, parse_storyboard
from prefect_seedance.storyboard.schema import ClipList, Storyboard

DOWNLOAD_SECONDS: Final = 30.0
"""Bound of downloading a storyboard."""

Source = Storyboard | ClipList | Mapping[str, Any] | Path | str
"""The path of a file or folder, a URL, the location of a stored object, or the storyboard itself, also as a
dict of the form of a file."""


async def _open_by_url(place: str) -> Store:
    return Store.open(place)


async def load_storyboard(
    source: Source | ParsedStoryboard,
    *,
    model: str = DEFAULT_MODEL,
    prompt: str = "",
    defaults: Mapping[str, object] = MappingProxyType({}),
    allow_outside: bool = False,
    policy: HostPolicy = PUBLIC_HOSTS,
    timeout_seconds: float = DOWNLOAD_SECONDS,
    opener: Opener = _open_by_url,
) -> ParsedStoryboard:
    """Load a storyboard or a list of clips.

    Args:
        source: Where to load it from, or the storyboard itself. A parsed storyboard is returned unchanged.
        model: Id of the model of clips that choose none, or as `EveryClip` of all.
        prompt: Prompt for every clip, if the source is a folder of images.
        defaults: More settings of every clip, if the source is a folder of images.
        allow_outside: Permit absolute paths outside the storyboard's folder.
        policy: Which hosts may be read from, if the source is a URL. Default: public ones.
        timeout_seconds: Bound of downloading it, if the source is a URL.
        opener: Opens the store if the source is the location of a stored object.

    Raises:
        StoryboardError: The source cannot be found, or has errors.
        SetupError: It was parsed for another model, or the store cannot be opened.
    """
    if isinstance(source, ParsedStoryboard):
        if source.model != model:
            raise SetupError(
                f"{source.title} was parsed for {source.model}, but the account uses {model}; "
                f"load it with model={model!r}"
            )
        return source
    objects, defaults = Objects(opener), {**defaults, **({"prompt": prompt} if prompt else {})}
    if isinstance(source, str) and source.startswith(("https://", "http://")):
        document = await _download(source, policy, timeout_seconds=timeout_seconds)
    else:
        document = await _load_document(source, objects=objects, defaults=defaults)
    if defaults and not document.is_folder:
        unused = ", ".join(map(option, defaults))
        note = f"Not used, because it is for folders of images and this is a file: {unused}"
        document = replace(document, note=note)
    parse = partial(parse_storyboard, document, model=model)
    return await _parse(parse, objects=objects, allow_outside=allow_outside)


async def _load_document(source: Source, *, objects: Objects, defaults: Mapping[str, object]) -> Document:
    if isinstance(source, Storyboard | ClipList):
        return Document.inline(source.model_dump(mode="json", exclude_none=True))
    if isinstance(source, Mapping):
        return Document.inline(dict(source))
    if isinstance(source, str) and (location := Location.parse(source)):
        return await _load_stored(location, objects=objects, defaults=defaults)
    return await asyncio.to_thread(_load_local, Path(source), defaults=defaults)


async def _parse(
    parse: Callable[..., ParsedStoryboard], *, objects: Objects, allow_outside: bool
) -> ParsedStoryboard:
    """Parse in a thread, because decoding files takes seconds."""
    loop, is_cancelled = asyncio.get_running_loop(), threading.Event()

    def read_object(location: Location, check_size: Callable[[int], None]) -> bytes:
        return asyncio.run_coroutine_threadsafe(
            _read_checked(location, check_size, objects=objects), loop
        ).result()

    parse = partial(parse, read_object=read_object, is_cancelled=is_cancelled.is_set)
    try:
        return await asyncio.to_thread(parse, allow_outside=allow_outside)
    finally:
        is_cancelled.set()


def _load_local(path: Path, *, defaults: Mapping[str, object]) -> Document:
    path = composed(path.expanduser())
    if path.is_dir():
        return document_from_folder(list_folder(path.absolute()), defaults=defaults)
    return Document.load(path)


async def _load_stored(location: Location, *, objects: Objects, defaults: Mapping[str, object]) -> Document:
    """Load an object or, if there is none of this name, a folder of images."""
    size_bytes = await objects.size_bytes(location)
    names = await objects.names(location) if size_bytes is None else ()
    if names or not location.key:
        folder = await list_stored(location, names, objects=objects)
        return document_from_folder(folder, defaults=defaults)
    if size_bytes is not None and size_bytes > MAX_DOCUMENT_BYTES:
        raise StoryboardError(
            f"{location} is larger than {MAX_DOCUMENT_BYTES // 1000} kB; "
            "name images instead of embedding them"
        )
    return Document.parse(await objects.read(location), name=str(location), folder=location.folder)


async def _read_checked(location: Location, check_size: Callable[[int], None], *, objects: Objects) -> bytes:
    check_size(await objects.size_bytes(location) or 0)
    return await objects.read(location)


async def _download(url: str, policy: HostPolicy, *, timeout_seconds: float) -> Document:
    """Load the document at a URL; the file names in it are relative to its URL after redirects."""
    # Document.parse reports a larger document.
    found = await fetch(url, policy=policy, max_bytes=MAX_DOCUMENT_BYTES, timeout_seconds=timeout_seconds)
    if not found.is_success:
        raise StoryboardError(f"{shown_url(url)} cannot be read (status {found.status_code}); check the URL")
    return Document.parse(found.content, name=shown_url(url), base_url=found.url)


def document_from_folder(folder: Folder, *, defaults: Mapping[str, object]) -> Document:
    """Return a storyboard of a folder's images, with one prompt for all.

    The images are in natural order: ``2.png`` before ``10.png``.

    Args:
        folder: The folder, local or in a store.
        defaults: The settings of every clip, with the prompt: what happens from each image to the next.

    Raises:
        StoryboardError: There are no images, a name is not valid UTF-8, or there is no prompt.
    """
    place, images = folder.place, in_order(folder.images)
    if not images:
        found = f"; {note}" if (note := folder.note) else ""
        raise StoryboardError(f"{place} contains no images; add two or more{found}")
    if wrong := [name for name in (place.name, *images) if not is_unicode(name)]:
        raise StoryboardError(f"The name {wrong[0]!a} is not valid UTF-8; rename the file or folder")
    if not str(defaults.get("prompt", "")).strip():
        raise StoryboardError(
            f"{place} needs a prompt; describe what happens between its images in {option('prompt')}"
        )
    storyboard = {
        "title": place.name,
        "defaults": dict(defaults),
        "shots": [{"image": name} for name in images],
    }
    return Document.inline(storyboard, name=place.name, folder=place, note=folder.note, is_folder=True)
