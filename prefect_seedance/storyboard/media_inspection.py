"""Check that a file is the video or the audio file that an author means."""

import hashlib
from typing import Final

from prefect_seedance.api.capabilities import FileLimits
from prefect_seedance.errors import IntegrityError, StoryboardError
from prefect_seedance.storage.tempfiles import temporary_file
from prefect_seedance.storyboard.image_kinds import UNTYPED_VIDEO, kind_of
from prefect_seedance.storyboard.media import WORDS, Medium, SourceMedia
from prefect_seedance.video.decoding import probe_author_media
from prefect_seedance.video.facts import MediaFormat, detect_format

_MEDIA: Final[dict[MediaFormat, Medium]] = {
    "MP4": "video",
    "MOV": "video",
    "WEBM": "video",
    "MP3": "audio",
    "WAV": "audio",
}


def inspect_media(content: bytes, *, source: str, medium: Medium, limits: FileLimits) -> SourceMedia:
    """Decode a video or an audio file, and return what it is, whatever its suffix.

    Args:
        content: The file's bytes.
        source: Name of the file in messages.
        medium: What the author lists it as.
        limits: The widest that a model of the storyboard has.

    Raises:
        StoryboardError: It is something else, too large or damaged.
    """
    check_size(len(content), source=source, medium=medium, limits=limits)
    found, kind = detect_format(content[:12]), kind_of(content)
    if found is None or _MEDIA[found] != medium or kind is None or kind.medium != medium:
        raise StoryboardError(f"{source} {_unusable(content, medium, limits)}")
    if found not in limits.formats:
        raise StoryboardError(f"{source} is {found}; {_converted(medium, limits)}")
    try:
        with temporary_file() as file:
            file.write(content)
            facts = probe_author_media(file, longest_seconds=limits.seconds[1] + 1)
    except IntegrityError as error:
        reason = str(error)
        raise StoryboardError(
            f"{source} cannot be used: {reason[:1].lower()}{reason[1:]}; export it again"
        ) from error
    return SourceMedia(
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
        format=facts.format,
        size_bytes=len(content),
        duration_seconds=round(facts.duration_seconds, 1),
        width=facts.width,
        height=facts.height,
        frame_rate=facts.frame_rate,
    )


def check_size(size_bytes: int, *, source: str, medium: Medium, limits: FileLimits) -> None:
    """Refuse a file that is larger than a model accepts.

    Raises:
        StoryboardError: It is too large.
    """
    if size_bytes > limits.max_bytes:
        raise StoryboardError(
            f"{source} has {size_bytes:,} bytes; {_article(medium)} that is a reference may have "
            f"{limits.max_bytes:,}. Export it with a lower bit rate, or shorten it"
        )


def _unusable(content: bytes, medium: Medium, limits: FileLimits) -> str:
    """Name a file that is not of the medium, with the remedy."""
    kind, wanted = kind_of(content), WORDS[medium]
    if kind is None:
        return f"is not {_article(medium)} that can be read; {_converted(medium, limits)}"
    if kind is UNTYPED_VIDEO and medium == "video":
        return f"is {kind.name}; export it again as {' or '.join(limits.formats)}"
    if kind.medium == medium:
        return f"is {kind.name} of another format; {_converted(medium, limits)}"
    if kind.medium == "image":
        return f"is {kind.name}, not {_article(medium)}; list it under 'images', or name {_article(medium)}"
    if kind.medium:
        other = "videos" if kind.medium == "video" else "audios"
        return f"is {kind.name}, not {_article(medium)}; list it under '{other}', or name {_article(medium)}"
    name, remedy = (text.replace("image", wanted) for text in (kind.name, kind.remedy))
    return f"is {name}; {remedy or f'name {_article(medium)}'}"


def _converted(medium: Medium, limits: FileLimits) -> str:
    return f"convert the {WORDS[medium]} to {' or '.join(limits.formats)}"


def _article(medium: Medium) -> str:
    return f"{'an' if medium == 'audio' else 'a'} {WORDS[medium]}"
