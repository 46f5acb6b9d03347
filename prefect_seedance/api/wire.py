"""Requests, statuses and envelopes in the API's format."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, TypeGuard

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import from_json, to_json

from prefect_seedance.api.models import CAPABILITIES, DEFAULT_MODEL, Capabilities
from prefect_seedance.api.result_urls import result_urls
from prefect_seedance.printable import one_line

JsonObject = Mapping[str, Any]

Provider = Literal["auto", "value", "official"]
"""The gateway's routing strategy."""

RECORDED: Final = {"recorded": True}
"""The context in which records are validated: a newer version may have written them, with more choices."""

_MAX_DEPTH: Final = 50
"""Levels of an answer that is recorded. The parser reads 200, and the record around it adds some; the
documented answers have two."""

_EXCERPT_CHARACTERS: Final = 2000

_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Times outside are mistakes, such as seconds instead of milliseconds, and adding to them can overflow."""

_GENERATION_ID: Final = re.compile(r"[!-~]{1,200}")


def is_generation_id(value: object) -> TypeGuard[str]:
    """Return whether a value can be the id of a generation: 1 to 200 printable ASCII characters, no spaces.

    An id is recorded, logged, put into URLs, and copied from a terminal into a command. The API's ids have
    about 30 characters.
    """
    return isinstance(value, str) and _GENERATION_ID.fullmatch(value) is not None


def _or_recorded(value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:  # noqa: ANN401 -- pydantic's signature
    """Accept any text from a record instead of a known choice."""
    return value if info.context is RECORDED and isinstance(value, str) else validate(value)


_OPEN_IN_RECORDS = WrapValidator(_or_recorded)

DEFAULT_BASE_URL = "https://api.apixo.ai"
"""Source: the provider's public pages, read 2026-11."""

_DEFAULTS = CAPABILITIES[DEFAULT_MODEL]


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded, unlike file names that are not UTF-8, as Python reads them."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


class Problem(NamedTuple):
    """A value that the API would refuse: the field's name, and the reason with its remedy."""

    field: str
    message: str


class ClipSettings(BaseModel):
    """Settings of a clip other than its content.

    Every field is always sent, so that a request does not depend on the API's defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    duration: StrictInt = Field(
        default=4,
        description="Length of the clip in seconds; every second is billed.",
        json_schema_extra={"enum": list(_DEFAULTS.durations_seconds)},
    )
    resolution: str = Field(
        default="720p",
        description="Frame size: 480p is fast, for previews; 720p is for publishing.",
        json_schema_extra={"enum": list(_DEFAULTS.resolutions)},
    )
    aspect_ratio: str = Field(
        default="1:1",
        description="Width to height.",
        json_schema_extra={"enum": list(_DEFAULTS.aspect_ratios)},
    )
    sound: StrictBool = Field(default=False, description="Generate matching ambient sound and music.")
    fixed_lens: StrictBool = Field(default=False, description="Keep the camera still, as for products.")


class ClipInput(ClipSettings):
    """The ``input`` of a request: one clip to generate."""

    mode: Annotated[Literal["text-to-video", "image-to-video"], _OPEN_IN_RECORDS]
    prompt: str
    image_urls: tuple[str, ...] = ()


def problems(clip: ClipInput, *, model: str) -> tuple[Problem, ...]:
    """List everything that the model would refuse in this input, without a request."""
    can = CAPABILITIES.get(model)
    if can is None:
        return (Problem("model", f"unknown model {model!r}; known: {_listed(CAPABILITIES)}"),)
    return (*_setting_problems(clip, can), *_content_problems(clip, can))


def _setting_problems(clip: ClipSettings, can: Capabilities) -> tuple[Problem, ...]:
    choices: Mapping[str, tuple[object, ...]] = {
        "duration": can.durations_seconds,
        "resolution": can.resolutions,
        "aspect_ratio": can.aspect_ratios,
    }
    return tuple(
        Problem(field, f"{getattr(clip, field)!r} is not offered; choose one of {_listed(allowed)}")
        for field, allowed in choices.items()
        if getattr(clip, field) not in allowed
    )


def _content_problems(clip: ClipInput, can: Capabilities) -> tuple[Problem, ...]:
    found: list[Problem] = []
    fewest, most = can.prompt_characters
    if not fewest <= len(clip.prompt) <= most:
        found.append(
            Problem("prompt", f"has {len(clip.prompt)} characters; the model accepts {fewest} to {most}")
        )
    if not is_unicode(clip.prompt):
        reason = "contains half of a surrogate pair, which cannot be encoded; retype the character"
        found.append(Problem("prompt", reason))
    images = len(clip.image_urls)
    if clip.mode == "text-to-video" and images:
        found.append(
            Problem("image_urls", "are not accepted for text-to-video; remove them or use image-to-video")
        )
    if clip.mode == "image-to-video" and not 1 <= images <= can.max_images:
        found.append(
            Problem("image_urls", f"has {images} images; image-to-video accepts 1 to {can.max_images}")
        )
    return tuple(found)


def _listed(values: Any) -> str:  # noqa: ANN401 -- any iterable of printable values
    return ", ".join(str(value) for value in values)


class GenerateRequest(BaseModel):
    """The body of a submission."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_type: Annotated[Literal["async", "callback"], _OPEN_IN_RECORDS] = "async"
    callback_url: str | None = None
    provider: Annotated[Provider, _OPEN_IN_RECORDS] = "auto"
    input: ClipInput

    @model_validator(mode="after")
    def _callback_has_a_url(self, info: ValidationInfo) -> Self:
        has_url = self.callback_url is not None
        if (self.request_type == "callback") != has_url and info.context is not RECORDED:
            raise ValueError(
                "callback_url is required if request_type is 'callback', and not accepted otherwise"
            )
        return self

    def body(self) -> dict[str, Any]:
        """Return the JSON object to send, with every setting, and with images only if there are any."""
        sent = self.model_dump(mode="json", exclude_none=True)
        if not self.input.image_urls:
            del sent["input"]["image_urls"]
        return sent


class Envelope(BaseModel):
    """The JSON object that every response of the API consists of."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: int
    message: Annotated[str, BeforeValidator(lambda message: "" if message is None else str(message))] = ""
    data: Any = None


class Generation(BaseModel):
    """The status of a generation.

    Attributes:
        state: ``pending``, ``processing``, ``success`` or ``failed``; any other state as the API names it.
        result_urls: URLs of the video; empty unless ``state`` is ``success``.
        answer: The ``data`` of the response, kept in case it contains a paid result in an unknown format; an
            excerpt of its text, if it is nested too deep to be recorded.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    generation_id: str
    state: str
    result_urls: tuple[str, ...] = ()
    fail_code: str | None = None
    fail_message: str | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    processing_seconds: float | None = None
    answer: dict[str, Any] = Field(default_factory=dict, repr=False)

    @property
    def has_ended(self) -> bool:
        """Whether the state is final."""
        return self.state in {"success", "failed"}

    @classmethod
    def from_status(cls, data: JsonObject, *, generation_id: str) -> Self:
        """Parse the ``data`` of a status response; values that do not decide the outcome may be invalid."""
        return cls(
            generation_id=generation_id,
            state=_text(data.get("state")) or "",
            result_urls=result_urls(data.get("resultJson")),
            fail_code=_text(data.get("failCode")),
            fail_message=_text(data.get("failMsg")),
            created_at=_moment(data.get("createTime")),
            completed_at=_moment(data.get("completeTime")),
            processing_seconds=_seconds(data.get("costTime")),
            answer=_recordable(data),
        )


def _recordable(data: JsonObject) -> dict[str, Any]:
    """Return the data as a record of it will be read back."""
    if _depth(data) > _MAX_DEPTH:
        return {"excerpt": json.dumps(data)[:_EXCERPT_CHARACTERS]}
    recordable: dict[str, Any] = from_json(to_json(data, inf_nan_mode="null"))
    return recordable


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _text(value: object) -> str | None:
    """Return a value of an answer as one printable line; None if it is empty."""
    return None if value in (None, "") else one_line(str(value))


def _moment(milliseconds: object) -> datetime | None:
    seconds = _seconds(milliseconds)
    if seconds is None or not _EARLIEST.timestamp() <= seconds < _LATEST.timestamp():
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _seconds(milliseconds: object) -> float | None:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    try:
        seconds = milliseconds / 1000
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def parse_envelope(body: bytes) -> Envelope | None:
    """Parse the envelope of a response, or return None if the body is not one."""
    try:
        return Envelope.model_validate_json(body)
    except ValidationError:
        return None
