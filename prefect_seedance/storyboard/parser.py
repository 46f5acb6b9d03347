"""Read an author's document as the clips it asks for, or find all its mistakes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from prefect_seedance.api.models import CAPABILITIES, DEFAULT_MODEL
from prefect_seedance.api.wire import ClipInput, problems
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storyboard.document import Document, refuse
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.image_inspection import inspect_bytes, inspect_file
from prefect_seedance.storyboard.schema import ClipList, ClipRequest, ClipWords, Defaults, Storyboard
from prefect_seedance.storyboard.validation import Blanks, proofread
from prefect_seedance.storyboard.yaml_lines import Loc

_ANY_PROMPT: Final = "whatever was meant"

_BLANKS: Final[Blanks] = {
    ("defaults", "prompt"): _ANY_PROMPT,
    ("shots",): (),
    ("shots", "*"): {"image": "", "prompt": _ANY_PROMPT},
    ("shots", "*", "image"): "",
    ("shots", "*", "prompt"): _ANY_PROMPT,
    ("clips",): (),
    ("clips", "*"): {"prompt": _ANY_PROMPT},
    ("clips", "*", "prompt"): _ANY_PROMPT,
    ("clips", "*", "images", "*"): "",
}
"""What a document with mistakes is read on with, so that one mistake neither hides nor causes another."""

_LOOKS_AT_ONCE: Final = 2
"""One may wait for a bucket while another decodes. Measured: the largest that we take need 0.7 GB of memory
together, those of phones 0.2 GB."""

_NAME_CHARACTERS: Final = 60
"""How long a clip's name may be: a line of a table."""


@dataclass(frozen=True, kw_only=True)
class ParsedStoryboard:
    """What an author asks for.

    Attributes:
        storyboard: What was written.
        title: Its title, or what the file is called.
        model: Whose limits hold.
        clips: The clips it comes to, in order.
    """

    storyboard: Storyboard | ClipList
    title: str
    model: str
    clips: tuple[ClipRequest, ...]


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A clip before it is known whether it can be made.

    Attributes:
        trail: Where its words stand.
        images: Where each image's name stands, with the name.
        name: What people call it; empty if its images say it.
        asked: False for the last shot, which no clip begins at.
    """

    trail: Loc
    words: ClipWords
    images: tuple[tuple[Loc, str], ...]
    name: str = ""
    asked: bool = True


_Looks: TypeAlias = Mapping[str, SourceImage | str]
"""By the name that the author uses: the picture, or what is wrong with it."""

Fetch = Callable[[Location], bytes]
"""Returns the content of an image in a store, or raises StoryboardError."""

_Doubt: TypeAlias = tuple[Loc, str]
"""Where something is wrong, and what."""


def _no_objects(address: Location) -> bytes:
    raise StoryboardError(f"{address} cannot be read from here; give a local file")


def parse_storyboard(
    document: Document,
    *,
    model: str = DEFAULT_MODEL,
    allow_outside: bool = False,
    fetch: Fetch = _no_objects,
) -> ParsedStoryboard:
    """Read a document with ``shots`` as a storyboard, one with ``clips`` as a list of clips.

    Args:
        document: What the author wrote.
        model: Whose limits hold.
        allow_outside: Whether absolute paths may lead out of the document's folder.
        fetch: Returns the content of an image in a store, in any thread.

    Raises:
        StoryboardError: It has mistakes; the message lists all, each on a line.
        SetupError: The model is unknown.
    """
    if model not in CAPABILITIES:
        raise SetupError(f"unknown model {model!r}; known: {', '.join(CAPABILITIES)}")
    proof = proofread(document, kind=_kind(document.value), blanks=_BLANKS)
    drafts = tuple(_drafts(proof.words))
    look = partial(_look, document, model=model, allow_outside=allow_outside, fetch=fetch)
    names = dict.fromkeys(name for draft in drafts for _, name in draft.images)
    with ThreadPoolExecutor(_LOOKS_AT_ONCE, thread_name_prefix="seedance-reading") as lookers:
        looks = dict(zip(names, lookers.map(look, names), strict=True))
    doubts = (
        *_too_few(proof.words),
        *_wrong_images(drafts, looks),
        *_wrong_fits(drafts, looks),
        *_wrong_words(drafts, proof.words.defaults, model=model),
    )
    found = [document.mistake(trail, message) for trail, message in doubts if not proof.blames(trail)]
    if mistakes := dict.fromkeys((*document.mistakes, *proof.mistakes, *found)):
        refuse(sorted(mistakes, key=lambda mistake: (document.line(mistake.trail) or 0, mistake.trail)))
    pictures = {name: look for name, look in looks.items() if isinstance(look, SourceImage)}
    return ParsedStoryboard(
        storyboard=proof.words,
        title=_one_line(proof.words.title or Path(document.name).stem),
        model=model,
        clips=tuple(_requests(drafts, pictures, proof.words.defaults)),
    )


def _kind(value: object) -> type[Storyboard] | type[ClipList]:
    fields = [str(field) for field in value] if isinstance(value, Mapping) else []
    means_clips = "shots" not in fields and get_close_matches("clips", fields)
    return ClipList if means_clips else Storyboard


def _drafts(words: Storyboard | ClipList) -> Iterator[_Draft]:
    if isinstance(words, ClipList):
        for number, clip in enumerate(words.clips):
            trail: Loc = ("clips", number)
            images = tuple(((*trail, "images", place), image) for place, image in enumerate(clip.images))
            name = clip.name or clip.prompt or words.defaults.prompt
            yield _Draft(trail=trail, words=clip, images=images, name=name)
        return
    frames = tuple((("shots", number, "image"), shot.image) for number, shot in enumerate(words.shots))
    nexts = frames[1:] + frames[:1]
    for number, (shot, start, end) in enumerate(zip(words.shots, frames, nexts, strict=True)):
        asked = words.loop or number + 1 < len(frames)
        yield _Draft(
            trail=("shots", number), words=shot, images=(start, end) if asked else (start,), asked=asked
        )


def _look(
    document: Document, name: str, *, model: str, allow_outside: bool, fetch: Fetch
) -> SourceImage | str:
    """Return the picture of this name, or what is wrong with it."""
    if not name:
        return "is empty; name an image file or an https URL"
    try:
        found = document.locate(name, allow_outside=allow_outside)
        if isinstance(found, Location):
            return inspect_bytes(fetch(found), source=str(found), model=model)
        return inspect_file(found, model=model) if isinstance(found, Path) else SourceImage.from_url(found)
    except StoryboardError as error:
        return str(error)


def _too_few(words: Storyboard | ClipList) -> Iterator[_Doubt]:
    if isinstance(words, ClipList):
        if not words.clips:
            yield ("clips",), "holds no clips; list one or more"
    elif len(words.shots) < 2:  # noqa: PLR2004 -- a transition has two ends
        count = "one shot" if words.shots else "no shots"
        yield ("shots",), f"holds {count}; list two or more, or list single clips under 'clips:'"


def _wrong_images(drafts: Iterable[_Draft], looks: _Looks) -> Iterator[_Doubt]:
    for draft in drafts:
        for trail, name in draft.images:
            if isinstance(wrong := looks[name], str):
                yield trail, wrong


def _wrong_fits(drafts: Iterable[_Draft], looks: _Looks) -> Iterator[_Doubt]:
    """Find clips that ask by themselves for what nobody can do; the defaults' fit holds where it can."""
    for draft in drafts:
        if not draft.asked or draft.words.fit in {None, "none"}:
            continue
        for _, name in draft.images:
            look = looks[name]
            if isinstance(look, SourceImage) and not look.is_local:
                message = f"{name} is fetched by the API as it is; give a local copy, or leave the fit out"
                yield (*draft.trail, "fit"), message


def _wrong_words(drafts: Iterable[_Draft], defaults: Defaults, *, model: str) -> Iterator[_Doubt]:
    """Find what the model would refuse, where it is written."""
    for draft in drafts:
        clip = ClipInput(
            mode="image-to-video" if draft.images else "text-to-video",
            prompt=draft.words.prompt or defaults.prompt,
            image_urls=tuple(name for _, name in draft.images),
            **draft.words.settings(defaults).model_dump(),
        )
        for field, message in problems(clip, model=model):
            if field == "image_urls":
                yield (*draft.trail, "images"), message
            elif field == "prompt" and not clip.prompt:
                if draft.asked:
                    yield (*draft.trail, "prompt"), "is missing; say what happens, here or under 'defaults'"
            elif draft.words.says(field) or field not in defaults.model_fields_set:
                yield (*draft.trail, field), message
            else:
                yield ("defaults", field), message


def _requests(
    drafts: Iterable[_Draft], pictures: Mapping[str, SourceImage], defaults: Defaults
) -> Iterator[ClipRequest]:
    asked = [draft for draft in drafts if draft.asked]
    names = _unique(_name(draft, pictures) for draft in asked)
    for draft, name in zip(asked, names, strict=True):
        fit, settings = draft.words.fit or defaults.fit, draft.words.settings(defaults)
        yield ClipRequest(
            name=name,
            prompt=draft.words.prompt or defaults.prompt,
            images=tuple(
                pictures[image].fitted(fit, aspect_ratio=settings.aspect_ratio) for _, image in draft.images
            ),
            settings=settings,
            take=draft.words.take,
        )


def _name(draft: _Draft, pictures: Mapping[str, SourceImage]) -> str:
    stems = (_shortened(pictures[image].stem, most=_NAME_CHARACTERS // 2 - 2) for _, image in draft.images)
    return _shortened(draft.name, most=_NAME_CHARACTERS) or " → ".join(stems)


def _shortened(text: str, *, most: int) -> str:
    line = _one_line(text)
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def _one_line(text: str) -> str:
    """Leave out what would break a line of a table or steer a terminal."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _unique(names: Iterable[str]) -> Iterator[str]:
    """Tell equal names apart by a number."""
    uses: Counter[str] = Counter()
    taken: set[str] = set()
    for name in names:
        unique = name
        while unique in taken or not uses[name]:
            uses[name] += 1
            unique = name if uses[name] == 1 else f"{name} ({uses[name]})"
        taken.add(unique)
        yield unique
