"""What a model accepts, parsed from a file of models."""

import re
from collections import Counter
from collections.abc import Hashable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

Setting = Literal["sound", "fixed_lens", "web_search"]
"""The settings of a clip that a model may lack."""

SETTINGS: Final[tuple[Setting, ...]] = get_args(Setting)

PriceKey = Literal["resolution", "sound", "mode", "provider"]
"""What the price of a second may depend on."""

_RANGE: Final = re.compile(r"(\d{1,3})-(\d{1,3})")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _durations(value: object) -> object:
    """Read ``4-15`` as every whole number from 4 to 15."""
    if isinstance(value, str) and (match := _RANGE.fullmatch(value)):
        return tuple(range(int(match[1]), int(match[2]) + 1))
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]

Ratio = Annotated[str, Field(pattern=r"^(auto|[1-9][0-9]{0,3}:[1-9][0-9]{0,3})$")]

WireName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
"""Without ``\\w``, whose letters of all scripts take 15 ms to compile."""

_RESERVED: Final = frozenset(
    {"mode", "prompt", "image_urls", "video_urls", "audio_urls", "duration", "resolution", "aspect_ratio"}
)
"""Fields of every clip's input, which no setting may replace."""

PairT = TypeVar("PairT", bound=tuple[float, ...])


def _in_order(values: PairT) -> PairT:
    if list(values) != sorted(values):
        raise ValueError("the first number must not be larger than the second one")
    return values


def _are_distinct(names: Mapping[Setting, str]) -> Mapping[Setting, str]:
    """Check that each setting has a field of its own, which is none of the clip's content."""
    for name in names.values():
        if name in _RESERVED or list(names.values()).count(name) > 1:
            raise ValueError(f"{name!r} is the name of another field too")
    return names


class References(_Strict):
    """How many files of each kind a mode accepts as references, which the prompt describes."""

    images: Count = 0
    videos: Count = 0
    audios: Count = 0

    @property
    def total(self) -> int:
        """Files of all kinds."""
        return self.images + self.videos + self.audios


class FileLimits(_Strict):
    """What a model requires of each video, or of each audio file, that is a reference.

    Attributes:
        formats: Such as ``MP4``.
        seconds: Shortest and longest length of a file.
        total_seconds: Most seconds of all files of this kind of a clip.
        max_bytes: Size of the largest file.
    """

    formats: Annotated[tuple[Literal["MP4", "MOV", "WEBM", "MP3", "WAV"], ...], Field(min_length=1)]
    seconds: Annotated[tuple[Seconds, Seconds], AfterValidator(_in_order)] = (2, 15)
    total_seconds: Seconds = 15
    max_bytes: Annotated[int, Field(gt=0)]


class Mode(_Strict):
    """What one mode of a model accepts besides a prompt.

    Attributes:
        frames: Fewest and most images that are the start frame and the end frame.
        references: Most files that are references.
    """

    frames: Annotated[tuple[Count, Count], AfterValidator(_in_order)] = (0, 0)
    references: References = References()

    @property
    def takes_frames(self) -> bool:
        """Whether its images are frames of the clip."""
        return self.frames[1] > 0

    @property
    def takes_references(self) -> bool:
        """Whether its files are references."""
        return self.references.total > 0

    def fits(self, frames: int, references: int) -> bool:
        """Return whether it is for clips with frames, with references, or with neither."""
        if references or self.takes_references:
            return bool(references) and self.takes_references
        return self.takes_frames if frames else self.frames[0] == 0

    @model_validator(mode="after")
    def _has_one_use(self) -> Self:
        if self.takes_frames and self.takes_references:
            raise ValueError("a mode has either frames or references")
        return self


class Price(_Strict):
    """The price of one second of video, for the clips that have these values; omitted ones match any.

    Attributes:
        source: Where the price is stated, and when that was read.
    """

    resolution: str | None = None
    sound: bool | None = None
    mode: str | None = None
    provider: str | None = None
    per_second: Annotated[Decimal, Field(ge=0)]
    source: str = ""


class Capabilities(_Strict):
    """What one model accepts and how long it takes.

    Attributes:
        source: Where these facts are stated.
        read_on: When the source was read.
        modes: By name. The one that fits a clip's images and references is used.
        durations_seconds: Lengths of a clip; each second is billed.
        resolutions: Names of frame sizes, such as ``720p``.
        aspect_ratios: Width to height, such as ``16:9``.
        settings: The API's names of the settings that the model has; others are never sent.
        prompt_characters: Minimum and, if there is one, maximum length of a prompt.
        image_formats: Formats of images, as Pillow names them.
        max_image_bytes: Size of the largest image that the API fetches.
        video_files: Limits of videos that are references.
        audio_files: Limits of audio files that are references.
        generation_seconds: Shortest and longest usual time of a generation, by the clip's duration; empty if
            that is not documented.
        result_days: How long the API serves a finished video.
        price_keys: What the price of a second depends on.
        prices: The first price that matches a clip counts. The gateway publishes none.
        retired_after: The last day on which the model is expected to work, if one was announced.
        successor: Id of the model that replaces it.
    """

    source: str
    read_on: date
    modes: Annotated[Mapping[str, Mode], Field(min_length=1)]
    durations_seconds: Annotated[
        tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1), BeforeValidator(_durations)
    ]
    resolutions: Annotated[tuple[Annotated[str, Field(pattern=r"^\S+$")], ...], Field(min_length=1)]
    aspect_ratios: Annotated[tuple[Ratio, ...], Field(min_length=1)]
    settings: Annotated[Mapping[Setting, WireName], AfterValidator(_are_distinct)]
    prompt_characters: Annotated[tuple[Count] | tuple[Count, Count], AfterValidator(_in_order)]
    image_formats: tuple[Literal["JPEG", "PNG", "WEBP"], ...] = ("JPEG", "PNG", "WEBP")
    max_image_bytes: Annotated[int, Field(gt=0)] = 10 * 1000 * 1000
    video_files: FileLimits = FileLimits(formats=("MP4", "MOV"), max_bytes=50_000_000)
    audio_files: FileLimits = FileLimits(formats=("MP3", "WAV"), max_bytes=15_000_000)
    generation_seconds: Mapping[int, Annotated[tuple[Seconds, Seconds], AfterValidator(_in_order)]] = {}
    result_days: Annotated[float, Field(gt=0, le=36_500)] = 15
    price_keys: tuple[PriceKey, ...] = ()
    prices: tuple[Price, ...] = ()
    retired_after: date | None = None
    successor: str | None = None

    @property
    def result_lifetime(self) -> timedelta:
        """How long the API serves a finished video."""
        return timedelta(days=self.result_days)

    def mode_for(self, *, frames: int, references: int) -> str | None:
        """Return the name of the mode for so many frames and references; None if the model has none."""
        fitting = {name: mode for name, mode in self.modes.items() if mode.fits(frames, references)}
        return min(fitting, key=lambda name: fitting[name].takes_frames and not frames, default=None)


Models = Mapping[str, Capabilities]
"""By id, the last segment of the endpoints' paths."""


class ModelFileError(ValueError):
    """A file of models is invalid; the message names the model, the field and the expected value."""


class _Loader(yaml.SafeLoader):
    """Refuses keys that are repeated, of which YAML would use the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 -- as its base class
        """Construct a mapping from its node."""
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for name, count in counts.most_common(1):
            if count > 1:
                reason = f"{name!r} is repeated"
                raise yaml.constructor.ConstructorError(None, None, reason, node.start_mark)
        return super().construct_mapping(node, deep=deep)


def parse_models(text: str, *, known: Models) -> dict[str, Capabilities]:
    """Parse a file of models.

    Args:
        text: YAML; a mapping of ids to the fields of `Capabilities`. ``like: ID`` takes over the fields that
            an entry omits. An entry for a known model takes over its fields without that.
        known: The models that the file may refer to, besides those above in the file.

    Raises:
        ModelFileError: If it is not YAML, or a field is unknown, missing or wrong.
    """
    try:
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 -- a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise ModelFileError(f"it is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, Mapping) or not found:
        raise ModelFileError("it must map the ids of models to their fields")
    parsed: dict[str, Capabilities] = {}
    for name, fields in found.items():
        parsed[name] = _parse(name, fields, known={**known, **parsed})
    return parsed


def _parse(name: object, fields: object, *, known: Models) -> Capabilities:
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ModelFileError(f"{name!r:.80} is not the id of a model; write it as in the API's paths")
    if not isinstance(fields, Mapping):
        raise ModelFileError(f"{name} must have fields, or 'like: ID'")
    given = {field: value for field, value in fields.items() if field != "like"}
    like = fields.get("like", name)
    if "like" in fields and (not isinstance(like, str) or like not in known):
        raise ModelFileError(f"{name}.like: unknown model {like!r:.80}; known: {', '.join(known)}")
    if name in known and (fixed := sorted({"like", "modes", "settings", "max_image_bytes"} & fields.keys())):
        raise ModelFileError(
            f"{name}.{fixed[0]} cannot be changed, because archived clips could be bought again; "
            "give the entry another id"
        )
    template = known.get(like) if isinstance(like, str) else None
    inherited: dict[str, Any] = template.model_dump(exclude_unset=True) if template else {}
    if name not in known:
        inherited = {field: value for field, value in inherited.items() if field not in _OWN}
    try:
        return Capabilities.model_validate({**inherited, **given})
    except ValidationError as error:
        raise ModelFileError(f"{name}.{_first(error)}") from None


_OWN: Final = frozenset({"prices", "retired_after", "successor"})
"""Facts of one model alone, which ``like`` does not take over."""


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(map(str, first["loc"]))
    known = ", ".join(Capabilities.model_fields)
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        return f"{field}: unknown field; known fields: like, {known}"
    return f"{field}: {first['msg'].removeprefix('Value error, ')}"
