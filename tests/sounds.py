"""Audio files of any length and format."""

import io
import math
from array import array
from functools import cache

import av

_RATE = 48_000
_CODECS = {"mp3": "libmp3lame", "wav": "pcm_s16le", "ipod": "aac", "flac": "flac", "ogg": "libopus"}


@cache
def sound(seconds: float, *, container: str = "mp3", pitch: int = 440) -> bytes:
    """Encode a tone.

    Args:
        seconds: Its length.
        container: As FFmpeg names it; ``ipod`` is M4A.
        pitch: In Hertz; another one is another content.
    """
    file, codec = io.BytesIO(), _CODECS[container]
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=_RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        total, tone = round(seconds * _RATE), _tone(pitch)
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=_RATE)
        for start in range(0, total, 1024):
            samples = min(1024, total - start)
            frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
            frame.sample_rate, frame.pts = _RATE, start
            first = start % _RATE
            frame.planes[0].update(bytes(tone[first : first + samples]))
            for converted in resampler.resample(frame):
                out.mux(stream.encode(converted))
        out.mux(stream.encode(None))
    return file.getvalue()


@cache
def _tone(pitch: int) -> memoryview:
    """Return the samples of two seconds of a tone, which is the same each second."""
    second = [round(9000 * math.sin(2 * math.pi * pitch * each / _RATE)) for each in range(_RATE)]
    return memoryview(array("h", second + second))
