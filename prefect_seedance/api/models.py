"""What each Seedance model accepts, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

DEFAULT_MODEL = "seedance-1-5-pro"


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What one model accepts and how long it takes.

    Attributes:
        durations_seconds: Lengths of a clip; each second is billed.
        resolutions: Names of frame sizes, such as ``720p``.
        aspect_ratios: Width to height, such as ``16:9``.
        prompt_characters: Minimum and maximum length of a prompt.
        image_formats: Formats of start and end images, as Pillow names them.
        max_images: Maximum number of images of one clip.
        max_image_bytes: Size of the largest image that the API fetches.
        generation_seconds: Shortest and longest usual time of a generation, by the clip's duration.
        result_lifetime: How long the API serves a finished video.
    """

    durations_seconds: tuple[int, ...]
    resolutions: tuple[str, ...]
    aspect_ratios: tuple[str, ...]
    prompt_characters: tuple[int, int]
    image_formats: tuple[str, ...]
    max_images: int
    max_image_bytes: int
    generation_seconds: Mapping[int, tuple[float, float]]
    result_lifetime: timedelta


CAPABILITIES: Mapping[str, Capabilities] = {
    DEFAULT_MODEL: Capabilities(
        durations_seconds=(4, 8, 12),
        resolutions=("480p", "720p"),
        aspect_ratios=("1:1", "16:9", "9:16", "21:9", "3:4", "4:3"),
        prompt_characters=(3, 2500),
        image_formats=("JPEG", "PNG", "WEBP"),
        max_images=2,
        max_image_bytes=10 * 1000 * 1000,
        generation_seconds={4: (40, 60), 8: (60, 90), 12: (90, 120)},
        result_lifetime=timedelta(days=15),
    ),
}
"""By model id, the last segment of the endpoints. Source: the project's specification; for prompt length and
the ratios 3:4 and 4:3, the provider's public pages, read 2026-11."""


def generation_seconds(model: str, duration: int) -> tuple[float, float]:
    """Return the shortest and longest usual time of a generation.

    For a model or duration that only a newer version knows: of any generation.
    """
    known = CAPABILITIES.get(model, CAPABILITIES[DEFAULT_MODEL]).generation_seconds
    shortest, longest = zip(*known.values(), strict=True)
    return known.get(duration, (min(shortest), max(longest)))


def result_lifetime(model: str) -> timedelta:
    """Return how long the API serves a video; for a model that only a newer version knows, the default's."""
    return CAPABILITIES.get(model, CAPABILITIES[DEFAULT_MODEL]).result_lifetime
