"""Videos to make films of: every frame says which it is, and the sound beeps once."""

import hashlib
import io
import math
import tempfile
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

import av
from PIL import Image, ImageDraw

from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.storage.store import Store
from prefect_seedance.video import probe as media

SIZE = (192, 96)
RATE = 24
SAMPLES = 48_000
BEEP_AT = 0.5
_BEEP_SECONDS = 0.05
_BITS = 12


class Mark(NamedTuple):
    """What a frame says: which clip it is of, and its place there, from 0."""

    clip: int
    frame: int


def picture(mark: Mark, *, size: tuple[int, int] = SIZE) -> Image.Image:
    """Paint a frame: black and white fields that spell its mark, above a colour of its clip's own."""
    image = Image.new("RGB", size, f"hsl({mark.clip * 47 % 360}, 70%, 50%)")
    pen, code, width = ImageDraw.Draw(image), mark.clip << 8 | mark.frame, size[0] / _BITS
    for bit in range(_BITS):
        shade = "white" if code >> bit & 1 else "black"
        pen.rectangle((bit * width, 0, (bit + 1) * width, size[1] / 2), fill=shade)
    return image


def read(image: Image.Image) -> Mark:
    """Read what a decoded frame says."""
    grey, width = image.convert("L"), image.width / _BITS
    bits = [grey.getpixel((int((bit + 0.5) * width), image.height // 4)) > 127 for bit in range(_BITS)]
    code = sum(1 << place for place, bit in enumerate(bits) if bit)
    return Mark(code >> 8, code & 0xFF)


def clip(
    number: int,
    *,
    frames: int = 24,
    rate: int = RATE,
    size: tuple[int, int] = SIZE,
    sound: bool = True,
    first: Image.Image | None = None,
    layout: str = "stereo",
    container: str = "mp4",
    codec: str = "libx264",
    longer_seconds: float = 0.0,
    later_seconds: float = 0.0,
) -> bytes:
    """Encode a clip that beeps after half a second; its frames say its number, which is up to 15.

    Its sound may be longer than its pictures, and its pictures may begin later than its sound.
    """
    with tempfile.NamedTemporaryFile() as file, av.open(file.name, "w", format=container) as out:
        video = out.add_stream(codec, rate=rate, options={"crf": "20", "preset": "ultrafast"})
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        kind = "libopus" if container == "webm" else "aac"
        audio = out.add_stream(kind, rate=SAMPLES, layout=layout) if sound else None
        for place in range(frames):
            shown = first if first and not place else picture(Mark(number, place), size=size)
            frame = av.VideoFrame.from_image(shown)
            frame.pts, frame.time_base = place + round(later_seconds * rate), Fraction(1, rate)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio:
            for frame in _tone(round((frames / rate + longer_seconds) * SAMPLES), layout=layout):
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
        out.close()
        return file.read()


def _tone(samples: int, *, layout: str) -> Iterator[av.AudioFrame]:
    begin, end = round(BEEP_AT * SAMPLES), round((BEEP_AT + _BEEP_SECONDS) * SAMPLES)
    for start in range(0, samples, 1024):
        frame = av.AudioFrame(format="fltp", layout=layout, samples=min(1024, samples - start))
        frame.sample_rate, frame.pts = SAMPLES, start
        wave = array("f", bytes(4 * frame.samples))
        for place in range(max(start, begin), min(start + frame.samples, end)):
            wave[place - start] = 0.5 * math.sin(2 * math.pi * 1000 * place / SAMPLES)
        for plane in frame.planes:
            plane.update(wave.tobytes())
        yield frame


class Seen(NamedTuple):
    """What a film shows and when it beeps.

    Attributes:
        times: When each frame is shown, in seconds.
    """

    marks: list[Mark]
    times: list[float]
    beeps: list[float]
    sound_seconds: float


def seen(film: bytes) -> Seen:
    """Decode a film."""
    marks, times, beeps, end, loud_until = [], [], [], 0.0, -1.0
    with av.open(io.BytesIO(film)) as container:
        for frame in container.decode(*container.streams.video, *container.streams.audio):
            if isinstance(frame, av.VideoFrame):
                marks.append(read(frame.to_image()))
                times.append(frame.time)
                continue
            wave = array("f", bytes(frame.planes[0]))[: frame.samples]
            end = frame.time + frame.samples / frame.sample_rate
            for place, level in enumerate(wave):
                if abs(level) > 0.2:
                    moment = frame.time + place / frame.sample_rate
                    if moment > loud_until + 0.2:
                        beeps.append(moment)
                    loud_until = moment
    return Seen(marks, times, beeps, end)


def frames(film: bytes) -> list[Image.Image]:
    """Decode a film's pictures."""
    with av.open(io.BytesIO(film)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def boxes(film: bytes) -> list[str]:
    """List a film's boxes in order."""
    found, place = [], 0
    while place < len(film):
        length = int.from_bytes(film[place : place + 4])
        found.append(film[place + 4 : place + 8].decode())
        place += length
    return found


async def archived(store: Store, content: bytes, *, name: str = "", fingerprint: str = "") -> Clip:
    """Put a video into an archive as `Archivist` does."""
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
        facts=media.probe(io.BytesIO(content)),
        findings=(),
        attempt=1,
        generation_id="task_1",
        model="seedance-1-5-pro",
        base_url="https://api.example",
        request=GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves")),
        archived_at=datetime.now(UTC),
    )


def still(content: bytes) -> Image.Image:
    """Open a picture."""
    return Image.open(io.BytesIO(content))
