"""Requests, statuses and envelopes in the API's format."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self, TypeGuard

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
    model_validator,
)
from pydantic_core import from_json, to_json

from prefect_seedance.api.capabilities import SETTINGS
from prefect_seedance.api.models import DEFAULT_MODEL, check_mode, facts_of, in_forms
from prefect_seedance.api.result_urls import result_urls
from prefect_seedance.api.signatures import unsigned
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


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded, unlike file names that are not UTF-8, as Python reads them."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


class _Common(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    duration: StrictInt = Field(
        default=4,
        description="Length of the clip in seconds; every second is billed.",
        json_schema_extra=in_forms("durations_seconds"),
    )
    resolution: str = Field(
        default="720p",
        description="Frame size: 480p is fast, for previews; 720p is for publishing.",
        json_schema_extra=in_forms("resolutions"),
    )
    aspect_ratio: str = Field(
        default="1:1",
        description="Width to height.",
        json_schema_extra=in_forms("aspect_ratios"),
    )


class ClipSettings(_Common):
    """Settings of a clip other than its content.

    Every field that the clip's model has is sent, so that a request does not depend on the API's defaults.
    """

    sound: StrictBool = Field(default=False, description="Generate matching ambient sound and music.")
    fixed_lens: StrictBool = Field(
        default=False, description="Keep the camera still, as for products. Only Seedance 1.5 has it."
    )
    web_search: StrictBool | None = Field(
        default=None, description="Let the model search the web. Only Seedance 2.0 has it; default: no."
    )

    def for_model(self, model: str) -> dict[str, Any]:
        """Return the settings that the model has, and those that it lacks although the clip needs them."""
        has, settings = facts_of(model).settings, self.model_dump()
        for name in SETTINGS:
            settings[name] = bool(settings[name]) if name in has else settings[name] or None
        return settings


def _known_mode(mode: str, info: ValidationInfo) -> str:
    if info.context is not RECORDED:
        check_mode(mode)
    return mode


class ClipInput(_Common):
    """The ``input`` of a request: one clip to generate.

    A setting is None if the clip's model has no such setting. Such a field is neither sent nor recorded, and
    does not count for the clip's fingerprint.
    """

    sound: StrictBool | None = False
    fixed_lens: StrictBool | None = False
    web_search: StrictBool | None = None
    mode: Annotated[StrictStr, AfterValidator(_known_mode)]
    prompt: str
    image_urls: tuple[str, ...] = ()
    video_urls: tuple[str, ...] | None = None
    audio_urls: tuple[str, ...] | None = None

    @property
    def file_urls(self) -> tuple[str, ...]:
        """The URLs of all files: images, videos and audio files."""
        return (*self.image_urls, *(self.video_urls or ()), *(self.audio_urls or ()))

    def without_signatures(self) -> Self:
        """Return the input without the signatures of its URLs, each of which gives access to a file."""
        given = {name: getattr(self, name) for name in ("image_urls", "video_urls", "audio_urls")}
        plain = {name: urls and tuple(map(unsigned, urls)) for name, urls in given.items()}
        return self.model_copy(update=plain)

    @model_serializer(mode="wrap")
    def _without_none(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        optional = {*SETTINGS, "video_urls", "audio_urls"}
        fields: Mapping[str, Any] = serialize(self)
        return {name: value for name, value in fields.items() if value is not None or name not in optional}


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

    def body(self, *, model: str = DEFAULT_MODEL) -> dict[str, Any]:
        """Return the JSON object to send: settings under the model's names, files only if there are any."""
        can = facts_of(model)
        sent = self.model_dump(mode="json", exclude_none=True)
        sent["input"] = {
            can.settings.get(name, name) if name in SETTINGS else name: value
            for name, value in sent["input"].items()
            if value != []
        }
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
