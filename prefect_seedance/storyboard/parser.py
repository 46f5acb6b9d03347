"""Parse a document into clip requests, reporting all errors at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeAlias

from prefect_seedance.api.clip_check import mode_for, problems
from prefect_seedance.api.models import DEFAULT_MODEL, capabilities, facts_of, unknown_model
from prefect_seedance.api.wire import ClipInput
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storyboard.clip_names import as_line, clip_name, unique
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.drafts import Draft, Inspected, drafts_of, with_ratios
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.media import WORDS, Medium, SourceMedia
from prefect_seedance.storyboard.media_check import Media, media_problems, widest_limits
from prefect_seedance.storyboard.named_files import NamedFiles, ObjectReader
from prefect_seedance.storyboard.notes import notes
from prefect_seedance.storyboard.schema import (
    AUTO,
    ClipList,
    ClipRequest,
    Defaults,
    References,
    Storyboard,
)
from prefect_seedance.storyboard.validation import Placeholders, validate
from prefect_seedance.storyboard.yaml_lines import Loc

_VALID_PROMPT: Final = "placeholder"

_PLACEHOLDERS: Final[Placeholders] = {
    ("defaults", "prompt"): _VALID_PROMPT,
    ("shots",): (),
    ("shots", "*"): {"image": "", "prompt": _VALID_PROMPT},
    ("shots", "*", "image"): "",
    ("shots", "*", "prompt"): _VALID_PROMPT,
    ("clips",): (),
    ("clips", "*"): {"prompt": _VALID_PROMPT},
    ("clips", "*", "prompt"): _VALID_PROMPT,
    ("clips", "*", "images", "*"): "",
    **{
        (*parent, "references", kind, "*"): ""
        for parent in (("defaults",), ("shots", "*"), ("clips", "*"))
        for kind in References.model_fields
    },
}
"""Values for invalid fields, so that one error neither hides nor causes another."""

_PARALLEL_INSPECTIONS: Final = 2
"""One image can download from a bucket while another decodes. Measured: two of the largest images need 0.7 GB
of memory, two from phones 0.2 GB."""

_Finding: TypeAlias = tuple[Loc, str]
"""The path of an invalid field, and the message."""


@dataclass(frozen=True, kw_only=True)
class ParsedStoryboard:
    """A storyboard or list of clips without errors, with its clips.

    Attributes:
        storyboard: The storyboard or list of clips as written.
        title: Its title, or else the name of its file.
        model: Id of the account's model, for clips that choose none.
        clips: Its clips in order.
        note: What the author may not expect, a sentence a line; empty if there is nothing.
    """

    storyboard: Storyboard | ClipList
    title: str
    model: str
    clips: tuple[ClipRequest, ...]
    note: str = ""


def _reject_objects(location: Location, _: Callable[[int], None]) -> bytes:
    raise StoryboardError(f"{location} cannot be read from here; use a local file")


def parse_storyboard(
    document: Document,
    *,
    model: str = DEFAULT_MODEL,
    allow_outside: bool = False,
    read_object: ObjectReader = _reject_objects,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> ParsedStoryboard:
    """Parse a document with ``shots`` as a storyboard, one with ``clips`` as a list of clips.

    Args:
        document: The author's document.
        model: Id of the model of clips that choose none, or as `EveryClip` of all.
        allow_outside: Permit absolute paths outside the document's folder.
        read_object: Returns the content of a file in a store; called from worker threads.
        is_cancelled: Whether the result is not needed any more; called from worker threads.

    Raises:
        StoryboardError: The document has errors; the message lists all of them, one per line.
        SetupError: The model is unknown.
    """
    if capabilities(model) is None:
        raise SetupError(unknown_model(model))
    validated = validate(document, schema=_schema_for(document.value), placeholders=_PLACEHOLDERS)
    storyboard = validated.value
    drafts = tuple(drafts_of(storyboard, model=model))
    files = NamedFiles(
        document=document, allow_outside=allow_outside, read_object=read_object, is_cancelled=is_cancelled
    )
    inspected, media = _inspect(files, drafts, model=model)
    unused = [draft.overrides for draft in drafts if not draft.is_clip]
    drafts, chosen = with_ratios(drafts, storyboard, inspected)
    findings = (
        *_check_counts(storyboard),
        *_check_images(drafts, inspected),
        *media_problems(drafts, media),
        *_check_fits(drafts, inspected),
        *_check_settings(drafts, storyboard.defaults),
    )
    found = [document.issue(loc, message) for loc, message in findings if not validated.is_invalid(loc)]
    if issues := dict.fromkeys((*document.issues, *validated.issues, *found)):
        document.refuse(sorted(issues, key=lambda issue: (document.line(issue.loc) or 0, issue.loc)))
    images = {name: image for name, image in inspected.items() if isinstance(image, SourceImage)}
    sounds = {name: file for name, file in media.items() if isinstance(file, SourceMedia)}
    clips = tuple(_requests(drafts, images, sounds, storyboard.defaults))
    is_film = isinstance(storyboard, Storyboard)
    noted = notes(clips, unused=unused, is_film=is_film, is_folder=document.is_folder)
    return ParsedStoryboard(
        storyboard=storyboard,
        title=as_line(storyboard.title or Path(document.name).stem),
        model=model,
        clips=clips,
        note="\n".join(filter(None, (document.note, *chosen, *noted))),
    )


def _schema_for(value: object) -> type[Storyboard] | type[ClipList]:
    fields = [str(field) for field in value] if isinstance(value, Mapping) else []
    has_clips = "shots" not in fields and get_close_matches("clips", fields)
    return ClipList if has_clips else Storyboard


def _image_limit(model: str) -> int:
    return facts_of(model).max_image_bytes


def _inspect(files: NamedFiles, drafts: Sequence[Draft], *, model: str) -> tuple[Inspected, Media]:
    """Inspect each file once, for all clips: images for the strictest model, others for the most lenient."""
    strictest = min((draft.model for draft in drafts), key=_image_limit, default=model)
    limits = {medium: widest_limits(drafts, medium, model=model) for medium in WORDS}
    names = dict.fromkeys(name for draft in drafts for _, name in draft.sources)
    media = dict.fromkeys((medium, name) for draft in drafts for _, medium, name in draft.references.media)
    with ThreadPoolExecutor(_PARALLEL_INSPECTIONS, thread_name_prefix="seedance-inspect") as executor:
        # In the caller's context, in which messages name options as their reader does.
        images = [executor.submit(copy_context().run, files.image, name, model=strictest) for name in names]
        others = [
            executor.submit(copy_context().run, files.media, medium, name, limits=limits[medium])
            for medium, name in media
        ]
        try:
            return (
                {name: found.result() for name, found in zip(names, images, strict=True)},
                {key: found.result() for key, found in zip(media, others, strict=True)},
            )
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)  # the other files need not be inspected
            raise


def _check_counts(storyboard: Storyboard | ClipList) -> Iterator[_Finding]:
    if isinstance(storyboard, ClipList):
        if not storyboard.clips:
            yield ("clips",), "has no clips; list one or more"
    elif len(storyboard.shots) < 2:  # noqa: PLR2004 -- a transition has two ends
        count = "one shot" if storyboard.shots else "no shots"
        yield ("shots",), f"has {count}; list two or more, or list separate clips under 'clips:'"


def _check_images(drafts: Iterable[Draft], inspected: Inspected) -> Iterator[_Finding]:
    for draft in drafts:
        for loc, name in draft.sources:
            if isinstance(message := inspected[name], str):
                yield loc, message


def _check_fits(drafts: Iterable[Draft], inspected: Inspected) -> Iterator[_Finding]:
    """Report a clip's own fit if one of its images is at a URL; the defaults' fit skips such images."""
    for draft in drafts:
        if not draft.is_clip or draft.overrides.fit in {None, "none"}:
            continue
        for _, name in draft.images:
            image = inspected[name]
            if isinstance(image, SourceImage) and not image.is_local:
                message = f"the API fetches {name} unchanged; use a local copy, or remove the fit"
                yield (*draft.loc, "fit"), message


def _check_settings(drafts: Iterable[Draft], defaults: Defaults) -> Iterator[_Finding]:
    """Report prompts and settings that the model would reject, where they are written."""
    for draft in drafts:
        references = draft.references
        clip = ClipInput(
            mode=mode_for(draft.model, frames=len(draft.images), references=references.count),
            prompt=draft.overrides.prompt or defaults.prompt,
            image_urls=tuple(name for _, name in draft.sources),
            video_urls=references.names("video") or None,
            audio_urls=references.names("audio") or None,
            **draft.overrides.settings(defaults).for_model(draft.model),
        )
        for field, message in problems(clip, model=draft.model):
            if field in {"image_urls", "video_urls", "audio_urls", "mode"}:
                yield (references.loc if references.count else (*draft.loc, "images")), message
            elif field == "prompt" and not clip.prompt:
                if draft.is_clip:
                    yield (
                        (*draft.loc, "prompt"),
                        "is missing; describe what happens, here or under 'defaults'",
                    )
            elif field == "aspect_ratio" and clip.aspect_ratio == AUTO:
                listed = ", ".join(facts_of(draft.model).aspect_ratios)
                where = draft.loc if draft.overrides.aspect_ratio else ("defaults",)
                yield (*where, field), f"auto needs an image that is a local file; choose one of {listed}"
            elif draft.overrides.overrides(field) or field not in defaults.model_fields_set:
                yield (*draft.loc, field), message
            else:
                yield ("defaults", field), message


def _requests(
    drafts: Iterable[Draft],
    images: Mapping[str, SourceImage],
    media: Mapping[tuple[Medium, str], SourceMedia],
    defaults: Defaults,
) -> Iterator[ClipRequest]:
    clips = [draft for draft in drafts if draft.is_clip]
    stems = ([images[image].stem for _, image in draft.images] for draft in clips)
    names = unique(clip_name(draft.name, stems=each) for draft, each in zip(clips, stems, strict=True))
    for draft, name in zip(clips, names, strict=True):
        fit, settings = draft.overrides.fit or defaults.fit, draft.overrides.settings(defaults)
        yield ClipRequest(
            name=name,
            prompt=draft.overrides.prompt or defaults.prompt,
            images=tuple(
                images[image].fitted(fit, aspect_ratio=settings.aspect_ratio, resolution=settings.resolution)
                for _, image in draft.images
            ),
            references=tuple(images[image] for _, image in draft.references.images),
            videos=tuple(media["video", name] for name in draft.references.names("video")),
            audios=tuple(media["audio", name] for name in draft.references.names("audio")),
            settings=settings,
            take=draft.overrides.take,
            model=draft.model,
        )
