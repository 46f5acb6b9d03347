"""Find the author's words wherever they are: a file, a folder of images, a URL, an object."""

import asyncio
from pathlib import Path

import httpx

from prefect_seedance.document import MOST_BYTES, Document
from prefect_seedance.errors import StoryboardError
from prefect_seedance.models import DEFAULT_MODEL
from prefect_seedance.reading import Reading, from_folder, read
from prefect_seedance.storyboard import ClipList, Storyboard
from prefect_seedance.transport import timeouts, translated

_ANSWER_SECONDS = 30.0

Source = Storyboard | ClipList | Path | str
"""A file's or folder's path, a URL, or what would stand in a file."""


async def open_source(
    source: Source, *, model: str = DEFAULT_MODEL, prompt: str = "", allow_outside: bool = False
) -> Reading:
    """Read a storyboard or a list of clips.

    Args:
        source: Where it is, or itself.
        model: Whose limits hold.
        prompt: What happens between the images, if the source is a folder of them.
        allow_outside: Permit local images outside the storyboard's folder, by absolute path.

    Raises:
        StoryboardError: If it cannot be found, or has mistakes.
    """
    if isinstance(source, str) and source.startswith(("https://", "http://")):
        content, found_at = await _fetched(source)
        document = Document.parse(content, name=source, base_url=found_at)
    elif isinstance(source, Storyboard | ClipList):
        document = Document.inline(source.model_dump(mode="json", exclude_none=True))
    else:
        return await asyncio.to_thread(
            _open_local, Path(source), model=model, prompt=prompt, allow_outside=allow_outside
        )
    return await asyncio.to_thread(read, document, model=model, allow_outside=allow_outside)


def _open_local(path: Path, *, model: str, prompt: str, allow_outside: bool) -> Reading:
    path = path.expanduser()
    if path.is_dir():
        return from_folder(path, prompt=prompt, model=model)
    return read(Document.load(path), model=model, allow_outside=allow_outside)


async def _fetched(url: str) -> tuple[bytes, str]:
    """Return what a URL serves, and where it was found in the end."""
    content = b""
    with translated(f"GET {url}"):
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
