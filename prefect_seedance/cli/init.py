"""Write a first storyboard from the answers to a few questions."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import yaml
from cyclopts import App, Parameter
from rich.text import Text

from prefect_seedance.cli.options import PLAIN
from prefect_seedance.cli.printing import command, program, show
from prefect_seedance.errors import SeedanceError, SetupError
from prefect_seedance.storyboard.folder import in_order, list_folder

app = App(
    name="init",
    default_parameter=PLAIN,
    help_epilogue="Without a terminal, it asks nothing and uses the defaults. Edit the file as you like: the "
    "reference of storyboards describes every field.",
)

_TITLE: Final = "My first film"
_PROMPT: Final = "slow dolly in over a misty harbour at dawn, boats rocking, gulls crying"
_DEFAULTS: Final = {"duration": 4, "resolution": "480p", "aspect_ratio": "16:9", "sound": True}
_NONE: Final = "none"
_MIN_IMAGES: Final = 2
"""A clip leads from one image to the next."""


@app.default
def init(
    file: Annotated[str, Parameter(help="The storyboard to write.")] = "storyboard.yaml",
    /,
    *,
    title: Annotated[str, Parameter(help="Title of the film.")] = "",
    prompt: Annotated[str, Parameter(help="What happens: the scene, the camera, the sound.")] = "",
    images: Annotated[
        str, Parameter(help="Folder of your images, or their https URLs with blanks between them; or none.")
    ] = "",
    archive: Annotated[str, Parameter(help="Folder or bucket for the clips.")] = "films",
) -> int:
    """Ask for title, images and prompt, write a storyboard, and print the next commands."""
    path = Path(file)
    if path.exists():
        raise SetupError(f"{file} exists; give the name of another file")
    title = title or _answer("Title", default=_TITLE)
    sources = _sources(images, beside=path) if images else _ask_for_sources(beside=path)
    content = _storyboard(sources, title=title, prompt=prompt or _answer("What happens", default=_PROMPT))
    try:
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{file} cannot be written ({error.strerror}); give another file") from None
    has_local = any("://" not in source for source in sources)
    serves = "://" not in archive and has_local
    show(*_next_steps(file, archive, is_film=bool(sources), serves=serves))
    return 0


def _answer(question: str, *, default: str) -> str:
    """Ask at a terminal; otherwise, and for an empty line, return the default."""
    if not sys.stdin.isatty():
        return default
    return input(f"{question} [{default}]: ").strip() or default


def _ask_for_sources(*, beside: Path) -> Sequence[str]:
    """Ask for the images until the answer is right."""
    while (images := _answer("Your images: a folder, https URLs, or none", default=_NONE)) != _NONE:
        try:
            return _sources(images, beside=beside)
        except SeedanceError as error:
            show(str(error))
    return []


def _sources(images: str, *, beside: Path) -> Sequence[str]:
    """Return the images as a storyboard names them, in the order of a folder that is one.

    Raises:
        SetupError: There are fewer than two.
        StoryboardError: There is no such folder.
    """
    if images == _NONE:
        return []
    if "://" in images:
        found = images.split()
    else:
        folder = list_folder(Path(images).expanduser())
        root = beside.absolute().parent
        paths = [Path(images).expanduser().absolute() / name for name in in_order(folder.images)]
        found = [(path.relative_to(root) if path.is_relative_to(root) else path).as_posix() for path in paths]
    if len(found) < _MIN_IMAGES:
        raise SetupError(
            f"There are {len(found)} images in {images!r}; give a folder with at least two, or https URLs"
        )
    return found


def _storyboard(sources: Sequence[str], *, title: str, prompt: str) -> Mapping[str, object]:
    if not sources:
        return {"title": title, "defaults": _DEFAULTS, "clips": [{"prompt": prompt}]}
    fit = {} if "://" in sources[0] else {"fit": "crop"}
    shots = [{"image": source, "prompt": prompt} for source in sources[:-1]]
    return {"title": title, "defaults": {**_DEFAULTS, **fit}, "shots": [*shots, {"image": sources[-1]}]}


def _next_steps(file: str, archive: str, *, is_film: bool, serves: bool) -> Iterator[Text]:
    board, place = shlex.quote(file), shlex.quote(archive)
    yield Text(f"{file} is written.")
    if is_film:
        yield Text(
            "Its images are in order of name; move the shots to change that. Each prompt says how its image "
            "becomes the next one: give each shot its own."
        )
    yield Text("Check for free what it would make, then make it:")
    yield command(f"{program()} plan {board} --archive {place}")
    if serves:
        yield Text("In another terminal, serve your images. The API needs a public URL, from a tunnel:")
        yield command(f"{program()} serve-images {place}")
        yield command(
            f"{program()} produce {board} --archive {place} --images-url https://YOUR-TUNNEL/images"
        )
    else:
        yield command(f"{program()} produce {board} --archive {place}")
