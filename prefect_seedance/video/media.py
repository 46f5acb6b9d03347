"""Verify a video or a sound that an author names."""

from collections.abc import Mapping
from os import SEEK_END
from typing import BinaryIO, Final

import av
from av import AudioStream

from prefect_seedance.errors import IntegrityError
from prefect_seedance.video.facts import MediaFacts, MediaFormat, detect_format
from prefect_seedance.video.probe import declared_seconds, open_with, probe, require_codec

_HEAD_BYTES: Final = 12

_SOUND_FORMATS: Mapping[MediaFormat, frozenset[str]] = {
    "MP3": frozenset({"mp3"}),
    "WAV": frozenset({"pcm_f32le", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8"}),
}
"""The codecs of sounds without a video, by format."""


def probe_media(file: BinaryIO, *, longest_seconds: float) -> MediaFacts:
    """Decode a video or a sound, and return its facts.

    Args:
        file: A seekable file; its position is undefined afterwards.
        longest_seconds: A file that is longer is not decoded completely.

    Raises:
        IntegrityError: The file is incomplete or damaged, or has a format that is not read.
    """
    file.seek(0)
    kind = detect_format(file.read(_HEAD_BYTES))
    if kind is None:
        raise IntegrityError("It is neither a video nor a sound that can be read")
    if kind in {"MP3", "WAV"}:
        return _probe_sound(file, kind, longest_seconds=longest_seconds)
    if (declared := declared_seconds(file)) > longest_seconds:
        return MediaFacts(format=kind, duration_seconds=declared)
    facts = probe(file)
    return MediaFacts(
        format=kind,
        duration_seconds=facts.duration_seconds,
        width=facts.width,
        height=facts.height,
        frame_rate=facts.frame_rate,
    )


def _probe_sound(file: BinaryIO, kind: MediaFormat, *, longest_seconds: float) -> MediaFacts:
    """Decode a whole sound without a video, and return its facts."""
    codecs = _SOUND_FORMATS[kind]
    try:
        with open_with(file, kind.lower(), decoders=(*codecs, "mp3float")) as container:
            audio = container.streams.best("audio")
            if not isinstance(audio, AudioStream):
                raise IntegrityError("It has no sound that can be decoded")
            require_codec(audio, allowed=codecs)
            seconds = 0.0
            for frame in container.decode(audio):
                seconds += frame.samples / frame.sample_rate
                if seconds > longest_seconds:
                    declared = (container.duration or 0) / av.time_base
                    return MediaFacts(format=kind, duration_seconds=max(seconds, declared))
    except (av.FFmpegError, OSError) as error:
        raise IntegrityError(f"It cannot be decoded ({error.strerror})") from error
    if not seconds:
        raise IntegrityError("It has no sound that can be decoded")
    if kind == "WAV" and (missing := _missing_bytes(file)):
        raise IntegrityError(f"It is cut off: {missing:,} bytes are missing")
    return MediaFacts(format=kind, duration_seconds=round(seconds, 6))


def _missing_bytes(wav: BinaryIO) -> int:
    """Return how many bytes a WAV file declares and lacks; a recorder that streams declares none."""
    size = wav.seek(0, SEEK_END)
    wav.seek(4)
    declared = int.from_bytes(wav.read(4), "little")
    return 0 if declared in {0, 2**32 - 1} else max(0, declared + 8 - size)
