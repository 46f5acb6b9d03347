"""What each Seedance model accepts, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

DEFAULT_MODEL = "seedance-1-5-pro"


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What one model accepts and how long it takes.

    Attributes:
        durations_seconds: Lengths of video it can make; each second is billed.
        resolutions: Names of picture sizes.
        aspect_ratios: Width to height.
        prompt_characters: Fewest and most characters of a prompt.
        image_formats: Formats of start and end frames, as Pillow names them.
        images_most: How many images one clip can take.
        image_bytes: The largest image it will fetch.
        generation_seconds: For each duration, how long a generation takes: at least, usually at most.
        result_lifetime: How long a finished video can be fetched.
    """

    durations_seconds: tuple[int, ...]
    resolutions: tuple[str, ...]
    aspect_ratios: tuple[str, ...]
    prompt_characters: tuple[int, int]
    image_formats: tuple[str, ...]
    images_most: int
    image_bytes: int
    generation_seconds: Mapping[int, tuple[float, float]]
    result_lifetime: timedelta


CAPABILITIES: Mapping[str, Capabilities] = {
    DEFAULT_MODEL: Capabilities(
        durations_seconds=(4, 8, 12),
        resolutions=("480p", "720p"),
        aspect_ratios=("1:1", "16:9", "9:16", "21:9", "3:4", "4:3"),
        prompt_characters=(3, 2500),
        image_formats=("JPEG", "PNG", "WEBP"),
        images_most=2,
        image_bytes=10 * 1000 * 1000,
        generation_seconds={4: (40, 60), 8: (60, 90), 12: (90, 120)},
        result_lifetime=timedelta(days=15),
    ),
}
"""By the model's id, the last segment of its endpoints. Source: the project's specification, and for
prompt length and the ratios 3:4 and 4:3 the provider's public pages, read 2026-11."""
