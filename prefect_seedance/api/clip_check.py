"""Check a clip's input against its model, without a request."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prefect_seedance.api.capabilities import SETTINGS, Capabilities, Mode
from prefect_seedance.api.models import DEFAULT_MODEL, capabilities, known_models, unknown_model
from prefect_seedance.api.wire import ClipInput, is_unicode

_MANY = 3
"""More consecutive numbers than this are listed as a range."""


class Problem(NamedTuple):
    """A value that the API would refuse: the field's name, and the reason with its remedy."""

    field: str
    message: str


def mode_for(model: str, *, frames: int, references: int) -> str:
    """Return the mode of a model for so many frames and references; another model's if it has none."""
    can = (capabilities(model), *known_models().values())
    found = (each.mode_for(frames=frames, references=references) for each in can if each)
    return next(filter(None, found))


def problems(clip: ClipInput, *, model: str) -> tuple[Problem, ...]:
    """List everything that the model would refuse in this input, without a request."""
    can = capabilities(model)
    if can is None:
        return (Problem("model", unknown_model(model)),)
    return (
        *_setting_problems(clip, can, model),
        *_content_problems(clip, can),
        *_file_problems(clip, can, model),
    )


def _setting_problems(clip: ClipInput, can: Capabilities, model: str) -> Iterator[Problem]:
    choices: Mapping[str, tuple[object, ...]] = {
        "duration": can.durations_seconds,
        "resolution": can.resolutions,
        "aspect_ratio": can.aspect_ratios,
    }
    for field, allowed in choices.items():
        if getattr(clip, field) not in allowed:
            by = "" if model == DEFAULT_MODEL else f" (for {model})"
            value = f"{getattr(clip, field)!r}"
            yield Problem(field, f"{value} is not offered; choose one of {_listed(allowed)}{by}")
    for setting in SETTINGS:
        if getattr(clip, setting) is not None and setting not in can.settings:
            having = [name for name, each in known_models().items() if setting in each.settings]
            remedy = f"remove it, or choose a model that has it ({_listed(having)})"
            yield Problem(setting, f"is not a setting of {model}; {remedy}")


def _content_problems(clip: ClipInput, can: Capabilities) -> Iterator[Problem]:
    fewest, *most = can.prompt_characters
    found = len(clip.prompt)
    if found < fewest or (most and found > most[0]):
        expected = f"{fewest} to {most[0]}" if most else f"{fewest} or more"
        yield Problem("prompt", f"has {found} characters; the model accepts {expected}")
    if not is_unicode(clip.prompt):
        reason = "contains half of a surrogate pair, which cannot be encoded; retype the character"
        yield Problem("prompt", reason)


def _file_problems(clip: ClipInput, can: Capabilities, model: str) -> Iterator[Problem]:
    """Yield the mistakes in images, videos and audio files, which depend on the mode."""
    mode = can.modes.get(clip.mode)
    if mode is None:
        having = [name for name, each in known_models().items() if clip.mode in each.modes]
        other = f"; models that have {clip.mode!r}: {', '.join(having)}" if having else ""
        yield Problem("mode", f"{clip.mode!r} is not a mode of {model}; it has {_listed(can.modes)}{other}")
    elif mode.takes_references:
        yield from _reference_problems(clip, mode)
    else:
        yield from _frame_problems(clip, mode, can)


def _frame_problems(clip: ClipInput, mode: Mode, can: Capabilities) -> Iterator[Problem]:
    images, (fewest, most) = len(clip.image_urls), mode.frames
    if images and not most:
        other = can.mode_for(frames=images, references=0)
        remedy = f"remove them or use {other}" if other else "remove them"
        yield Problem("image_urls", f"are not accepted for {clip.mode}; {remedy}")
    elif not fewest <= images <= most:
        yield Problem("image_urls", f"has {images} images; {clip.mode} accepts {fewest} to {most}")
    for field in ("video_urls", "audio_urls"):
        if getattr(clip, field):
            yield Problem(field, f"are not accepted for {clip.mode}; remove them")


def _reference_problems(clip: ClipInput, mode: Mode) -> Iterator[Problem]:
    most = mode.references
    files = {
        "image_urls": (len(clip.image_urls), most.images, "images"),
        "video_urls": (len(clip.video_urls or ()), most.videos, "videos"),
        "audio_urls": (len(clip.audio_urls or ()), most.audios, "audio files"),
    }
    for field, (count, limit, kind) in files.items():
        if count > limit:
            yield Problem(field, f"has {count} {kind}; {clip.mode} accepts up to {limit}")
    if not (clip.image_urls or clip.video_urls):
        found = "audio alone" if clip.audio_urls else "no references"
        yield Problem("image_urls", f"has {found}; {clip.mode} needs an image or a video")


def _listed(values: Any) -> str:  # noqa: ANN401 -- any iterable of printable values
    listed = list(values)
    is_range = all(isinstance(value, int) for value in listed) and len(listed) > _MANY
    if is_range and listed == list(range(listed[0], listed[-1] + 1)):
        return f"{listed[0]} to {listed[-1]}"
    return ", ".join(map(str, listed))
