"""Validation of submissions against the API's contract."""

import hashlib
import ipaddress
import json
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

PROCESSING_SECONDS: Mapping[int, tuple[float, float]] = {4: (40, 60), 8: (60, 90), 12: (90, 120)}
"""Processing time in seconds, by seconds of video. Source: contract.md, "Limits, times, life of results"."""


def processing_seconds(duration: int) -> tuple[float, float]:
    """Return the processing time of a video; for an undocumented length, that of the next longer one."""
    longer = [seconds for seconds in PROCESSING_SECONDS if seconds >= duration]
    return PROCESSING_SECONDS[min(longer, default=max(PROCESSING_SECONDS))]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is a loopback address."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _is_public(host: str) -> bool:
    address = _address(host)
    return address is None or address.is_global


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise PydanticCustomError("url", "must be an http or https URL")
    return host


def _image_url(url: str) -> str:
    _host(url)
    return url


def _callback_url(url: str) -> str:
    host = _host(url)
    if not is_loopback(host) and not (url.lower().startswith("https:") and _is_public(host)):
        raise PydanticCustomError(
            "callback", "must be a public https URL (http and private hosts are allowed on loopback only)"
        )
    return url


def _supported_duration(duration: int) -> int:
    if duration not in PROCESSING_SECONDS:
        supported = ", ".join(str(seconds) for seconds in PROCESSING_SECONDS)
        raise PydanticCustomError("duration", "must be one of {supported} seconds", {"supported": supported})
    return duration


FileUrl = Annotated[str, AfterValidator(_image_url)]


class Strict(BaseModel):
    """Values of exactly the documented types, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Input(Strict):
    """The `input` of a Seedance 1.5 Pro generation."""

    mode: Literal["text-to-video", "image-to-video"]
    prompt: Annotated[str, Field(min_length=3, max_length=2500)]
    image_urls: tuple[FileUrl, ...] = ()
    duration: Annotated[int, AfterValidator(_supported_duration)]
    resolution: Literal["480p", "720p"]
    aspect_ratio: Literal["1:1", "16:9", "9:16", "21:9", "3:4", "4:3"] = "1:1"
    sound: bool
    fixed_lens: bool = False

    @property
    def has_frames(self) -> bool:
        """Whether its images are frames of the video."""
        return True

    @model_validator(mode="after")
    def _count_images(self) -> Self:
        if self.mode == "text-to-video" and "image_urls" in self.model_fields_set:
            raise PydanticCustomError("images", "image_urls is allowed for image-to-video only")
        if self.mode == "image-to-video" and len(self.image_urls) not in (1, 2):
            raise PydanticCustomError("images", "image_urls must contain 1 or 2 URLs for image-to-video")
        return self


class Submission(Strict):
    """The body of a submit request for Seedance 1.5 Pro."""

    request_type: Literal["async", "callback"] = "async"
    callback_url: Annotated[str, AfterValidator(_callback_url)] = ""
    provider: Literal["auto", "value", "official"] = "auto"
    input: Input

    @model_validator(mode="after")
    def _require_callback_url(self) -> Self:
        if self.request_type == "callback" and not self.callback_url:
            raise PydanticCustomError("callback", "callback_url is required when request_type is callback")
        return self


def identity(model: str, submission: Submission) -> str:
    """Return a key that is equal for two submissions exactly when they request the same video.

    It ignores the queries of image URLs: a signature changes while the image stays the same.
    """
    requested = submission.input.model_dump(mode="json")
    for field in ("image_urls", "video_urls", "audio_urls"):
        if field in requested:
            requested[field] = [url.partition("?")[0] for url in requested[field]]
    canonical = json.dumps([model, requested], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def first_error(error: ValidationError) -> str:
    """Return one line with the first invalid field and its error."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{field}: unknown field"
    return f"{field}: {first['msg']}" if field else first["msg"]
