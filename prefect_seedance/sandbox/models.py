"""The models that the sandbox serves, each with its own contract."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import yaml
from pydantic import Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from prefect_seedance.sandbox.contract import FileUrl, Strict, Submission
from prefect_seedance.sandbox.media import MediaLimits

_RATIOS = ("1:1", "16:9", "9:16", "21:9", "3:4", "4:3")

_VIDEOS = MediaLimits(max_bytes=50_000_000)
_AUDIOS = MediaLimits(max_bytes=15_000_000)
"""The contract gives no sizes; these are those of other gateways."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a model accepts.

    Attributes:
        frames: Fewest and most images that are frames, by mode.
        references: Most images, videos and audio files that are references, by mode.
        settings: The API's names of settings that are true or false; `sound` is required.
        videos: What it accepts of videos that are references.
        audios: The same of audio files.
    """

    frames: Mapping[str, tuple[int, int]]
    references: Mapping[str, tuple[int, int, int]]
    durations: tuple[int, ...]
    resolutions: tuple[str, ...]
    ratios: tuple[str, ...]
    settings: Mapping[str, str]
    prompt: tuple[int, int | None]
    videos: MediaLimits = _VIDEOS
    audios: MediaLimits = _AUDIOS


SEEDANCE_2 = Limits(
    frames={"text-to-video": (0, 0), "first_and_last_frames": (1, 2)},
    references={"omni_reference": (9, 3, 3)},
    durations=tuple(range(4, 16)),
    resolutions=("480p", "720p", "1080p"),
    ratios=(*_RATIOS, "auto"),
    settings={"sound": "sound", "web_search": "web_search"},
    prompt=(1, None),
)
"""Source: contract.md, "Balance, end of life, siblings"."""


class LimitedInput(Strict):
    """The `input` of a generation by a model with limits."""

    limits: ClassVar[Limits]

    mode: str
    prompt: str
    image_urls: tuple[FileUrl, ...] = ()
    video_urls: tuple[FileUrl, ...] = ()
    audio_urls: tuple[FileUrl, ...] = ()
    duration: int = 5
    resolution: str
    aspect_ratio: str = "1:1"

    @model_validator(mode="after")
    def _is_within_limits(self) -> Self:
        for error in (*self._wrong_choices(), *self._wrong_files()):
            raise PydanticCustomError("limit", "{reason}", {"reason": error})
        return self

    @property
    def has_frames(self) -> bool:
        """Whether its images are frames of the video."""
        return self.mode in self.limits.frames

    def _wrong_choices(self) -> Iterator[str]:
        limits = self.limits
        allowed: Mapping[str, tuple[object, ...]] = {
            "mode": (*limits.frames, *limits.references),
            "duration": limits.durations,
            "resolution": limits.resolutions,
            "aspect_ratio": limits.ratios,
        }
        for field, values in allowed.items():
            if getattr(self, field) not in values:
                yield f"{field}: must be one of {', '.join(map(str, values))}"
        fewest, most = limits.prompt
        if not fewest <= len(self.prompt) <= (most or len(self.prompt)):
            yield f"prompt: must have {fewest} to {most or 'any number of'} characters"

    def _wrong_files(self) -> Iterator[str]:
        fields = ("image_urls", "video_urls", "audio_urls")
        counts = [len(getattr(self, field)) for field in fields]
        if self.mode in self.limits.references:
            for field, count, most in zip(fields, counts, self.limits.references[self.mode], strict=True):
                if count > most:
                    yield f"{field}: {self.mode} accepts up to {most}"
            if not counts[0] + counts[1]:
                yield f"image_urls: {self.mode} needs an image or a video"
            return
        fewest, most = self.limits.frames.get(self.mode, (0, 0))
        if not fewest <= counts[0] <= most:
            yield f"image_urls: {self.mode} accepts {fewest} to {most}"
        if counts[1] or counts[2]:
            yield f"video_urls: not accepted for {self.mode}"


def _submission(limits: Limits) -> type[Submission]:
    """Return the body of a submit request for a model with limits."""
    settings: dict[str, Any] = {
        name: (bool, Field(alias=wire) if name == "sound" else Field(default=False, alias=wire))
        for name, wire in limits.settings.items()
    }
    limited = create_model("Input", __base__=LimitedInput, **settings)
    limited.limits = limits
    return cast("type[Submission]", create_model("Submission", __base__=Submission, input=(limited, ...)))


_LIMITS: Mapping[str, Limits] = {
    "seedance-1-5-pro": Limits(
        frames={"text-to-video": (0, 0), "image-to-video": (1, 2)},
        references={},
        durations=(4, 8, 12),
        resolutions=("480p", "720p"),
        ratios=_RATIOS,
        settings={"sound": "sound", "fixed_lens": "fixed_lens"},
        prompt=(3, 2500),
    ),
    "seedance-2-0": SEEDANCE_2,
    "seedance-2-0-fast": replace(SEEDANCE_2, resolutions=("480p", "720p")),
}

MODELS: Mapping[str, type[Submission]] = {
    **{name: _submission(limits) for name, limits in _LIMITS.items()},
    "seedance-1-5-pro": Submission,
}
"""The contract of each model, by its id."""


def models_from(file: Path | None) -> Mapping[str, type[Submission]]:
    """Return the models, with those of a user's file.

    Raises:
        ValueError: If the file lacks what the sandbox has to know.
    """
    if file is None:
        return MODELS
    limits = dict(_LIMITS)
    try:
        for name, fields in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            limits[name] = _changed(limits[fields.get("like", "seedance-2-0")], fields)
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} is not a file of models: {error!r}") from None
    added = {name: _submission(each) for name, each in limits.items() if name not in MODELS}
    return {**MODELS, **added}


def _changed(limits: Limits, fields: Mapping[str, Any]) -> Limits:
    """Return limits with the changes in a user's file."""
    read: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
        "resolutions": ("resolutions", tuple),
        "aspect_ratios": ("ratios", tuple),
        "durations_seconds": ("durations", _durations),
        "settings": ("settings", dict),
        "prompt_characters": ("prompt", lambda value: (*value, None)[:2]),
        "video_files": ("videos", _media),
        "audio_files": ("audios", _media),
    }
    given = {ours: parse(fields[name]) for name, (ours, parse) in read.items() if name in fields}
    if modes := fields.get("modes"):
        given["references"] = {
            name: tuple(mode["references"].get(kind, 0) for kind in ("images", "videos", "audios"))
            for name, mode in modes.items()
            if "references" in mode
        }
        given["frames"] = {
            name: tuple(mode.get("frames", (0, 0)))
            for name, mode in modes.items()
            if "references" not in mode
        }
    return replace(limits, **given)


def _media(value: Mapping[str, Any]) -> MediaLimits:
    given = {name: value[name] for name in ("max_bytes", "total_seconds") if name in value}
    shortest, longest = value.get("seconds", MediaLimits.seconds)
    return MediaLimits(seconds=(shortest, longest), **given)


def _durations(value: Any) -> tuple[int, ...]:  # noqa: ANN401 -- from a file
    if isinstance(value, str):
        first, last = map(int, value.split("-"))
        return tuple(range(first, last + 1))
    return tuple(value)
