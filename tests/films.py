"""Test clips whose frames encode their clip and index, and whose sound has one beep."""

import hashlib
import io
import math
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Literal, NamedTuple, TypedDict, Unpack

import av
from PIL import Image, ImageDraw

from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.storage.store import Store
from prefect_seedance.video.probe import probe

SIZE = (192, 96)
RATE = 24
SAMPLES = 48_000
BEEP_AT = 0.5
_BEEP_SECONDS = 0.05
_BITS = 12


class Mark(NamedTuple):
    """The clip of a frame and the index in that clip, from 0."""

    clip: int
    frame: int


def picture(mark: Mark, *, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw a frame: its mark as black and white fields, above the colour of its clip."""
    image = Image.new("RGB", size, f"hsl({mark.clip * 47 % 360}, 70%, 50%)")
    pen, code, width = ImageDraw.Draw(image), mark.clip << 8 | mark.frame, size[0] / _BITS
    for bit in range(_BITS):
        shade = "white" if code >> bit & 1 else "black"
        pen.rectangle((bit * width, 0, (bit + 1) * width, size[1] / 2), fill=shade)
    return image


def read(image: Image.Image) -> Mark:
    """Read the mark of a decoded frame."""
    grey, width = image.convert("L"), image.width / _BITS
    row = grey.crop((0, image.height // 4, image.width, image.height // 4 + 1)).tobytes()
    code = sum(1 << bit for bit in range(_BITS) if row[int((bit + 0.5) * width)] > 127)
    return Mark(code >> 8, code & 0xFF)


class Options(TypedDict, total=False):
    """The options of a test clip.

    Attributes:
        first: An image to show as the first frame.
        longer_seconds: How much longer the sound is than the video.
        later_seconds: How much later the video starts than the sound.
        pixel_ratio: Width to height of a pixel.
        pixel_format: FFmpeg's name of it.
        matrix: The colour space's number in H.264.
        times: When each frame is shown, in seconds, instead of a number of frames and a rate.
    """

    frames: int
    rate: int
    pixel_format: str
    matrix: int
    size: tuple[int, int]
    sound: bool
    first: Image.Image | None
    layout: str
    container: str
    codec: str
    longer_seconds: float
    later_seconds: float
    pixel_ratio: Fraction
    times: Sequence[float]


_TICKS = 12_000
"""Units of time in a second of a clip with a variable frame rate."""


def clip(number: int, **options: Unpack[Options]) -> bytes:
    """Encode a clip that beeps after half a second; its frames encode its number, at most 15."""
    times = options.get("times", ())
    frames, rate = len(times) or options.get("frames", 24), options.get("rate", RATE)
    size, first = options.get("size", SIZE), options.get("first")
    container, layout = options.get("container", "mp4"), options.get("layout", "stereo")
    seconds = (times[-1] if times else frames / rate) + options.get("longer_seconds", 0.0)
    start = round(options.get("later_seconds", 0.0) * rate)
    with tempfile.NamedTemporaryFile() as file, av.open(file.name, "w", format=container) as out:
        encoding = {"crf": "20", "preset": "ultrafast"}
        video = out.add_stream(options.get("codec", "libx264"), rate=rate, options=encoding)
        assert isinstance(video, av.VideoStream)
        video.width, video.height = size
        video.pix_fmt = options.get("pixel_format", "yuv420p")
        video.codec_context.colorspace = options.get("matrix", 2)
        video.codec_context.sample_aspect_ratio = options.get("pixel_ratio", Fraction(1))
        if times:
            video.codec_context.time_base = Fraction(1, _TICKS)
        kind = "libopus" if container == "webm" else "aac"
        audio = out.add_stream(kind, rate=SAMPLES, layout=layout) if options.get("sound", True) else None
        assert audio is None or isinstance(audio, av.AudioStream)
        for index in range(frames):
            image = first if first and not index else picture(Mark(number, index), size=size)
            frame = video_frame(image)
            frame.pts, frame.time_base = start + index, Fraction(1, rate)
            if times:
                frame.pts, frame.time_base = round(times[index] * _TICKS), Fraction(1, _TICKS)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio:
            for tone in _tone(round(seconds * SAMPLES), layout=layout):
                out.mux(audio.encode(tone))
            out.mux(audio.encode(None))
        out.close()
        return file.read()


def _tone(samples: int, *, layout: str) -> Iterator[av.AudioFrame]:
    begin, end = round(BEEP_AT * SAMPLES), round((BEEP_AT + _BEEP_SECONDS) * SAMPLES)
    for start in range(0, samples, 1024):
        frame = av.AudioFrame(format="fltp", layout=layout, samples=min(1024, samples - start))
        frame.sample_rate, frame.pts = SAMPLES, start
        wave = array("f", bytes(4 * frame.samples))
        for index in range(max(start, begin), min(start + frame.samples, end)):
            wave[index - start] = 0.5 * math.sin(2 * math.pi * 1000 * index / SAMPLES)
        for plane in frame.planes:
            plane.update(wave.tobytes())
        yield frame


class Seen(NamedTuple):
    """The decoded marks and beeps of a film.

    Attributes:
        times: Presentation time of each frame in seconds.
        beeps: Start of each beep in seconds.
    """

    marks: list[Mark]
    times: list[float]
    beeps: list[float]
    sound_seconds: float


def seen(film: bytes) -> Seen:
    """Decode a film."""
    marks: list[Mark] = []
    times: list[float] = []
    beeps: list[float] = []
    end, loud_until = 0.0, -1.0
    with av.open(io.BytesIO(film), "r") as container:
        for frame in container.decode(*container.streams.video, *container.streams.audio):
            assert isinstance(frame, av.VideoFrame | av.AudioFrame)
            assert frame.time is not None
            if isinstance(frame, av.VideoFrame):
                marks.append(read(decoded_image(frame)))
                times.append(frame.time)
                continue
            wave = array("f", bytes(frame.planes[0]))[: frame.samples]
            end = frame.time + frame.samples / frame.sample_rate
            for index, level in enumerate(wave):
                if abs(level) > 0.2:
                    seconds = frame.time + index / frame.sample_rate
                    if seconds > loud_until + 0.2:
                        beeps.append(seconds)
                    loud_until = seconds
    return Seen(marks, times, beeps, end)


def frames(film: bytes) -> list[Image.Image]:
    """Decode the frames of a film."""
    with av.open(io.BytesIO(film), "r") as container:
        return [decoded_image(frame) for frame in container.decode(video=0)]


def packets(video: bytes, *, kind: Literal["video", "audio"] = "video") -> "list[av.Packet[Any]]":
    """Return the packets of one track that have content."""
    with av.open(io.BytesIO(video), "r") as container:
        return [packet for packet in container.demux() if packet.size and packet.stream.type == kind]


def video_frame(image: Image.Image) -> av.VideoFrame:
    """Return a frame to encode."""
    frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]  # untyped in PyAV
    assert isinstance(frame, av.VideoFrame)
    return frame


def decoded_image(frame: av.VideoFrame) -> Image.Image:
    """Return the image of a decoded frame."""
    image = frame.to_image()  # type: ignore[no-untyped-call]  # untyped in PyAV
    assert isinstance(image, Image.Image)
    return image


def boxes(film: bytes) -> list[str]:
    """Return the types of a film's top-level boxes in order."""
    found, position = [], 0
    while position < len(film):
        length = int.from_bytes(film[position : position + 4])
        found.append(film[position + 4 : position + 8].decode())
        position += length
    return found


async def archived(store: Store, content: bytes, *, name: str = "", fingerprint: str = "") -> Clip:
    """Store a video in an archive as `Archivist` does."""
    digest = hashlib.sha256(content).hexdigest()
    fingerprint = fingerprint or digest[:32]
    key = f"clips/{fingerprint}/clip-{digest[:12]}.mp4"
    await store.put(key, content)
    return Clip(
        fingerprint=fingerprint,
        name=name or digest[:6],
        key=key,
        sha256=digest,
        size_bytes=len(content),
        facts=probe(io.BytesIO(content)),
        findings=(),
        attempt=1,
        generation_id="task_1",
        model="seedance-1-5-pro",
        base_url="https://api.example",
        request=GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves")),
        archived_at=datetime.now(UTC),
    )


def still(content: bytes) -> Image.Image:
    """Open an encoded image."""
    return Image.open(io.BytesIO(content))
