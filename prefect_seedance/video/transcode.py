"""Put videos end to end that differ, encoded anew to one size, frame rate and sample rate."""

from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, Self, cast

import av
from av import AudioFifo, AudioFrame, VideoFrame, VideoStream
from av.container import OutputContainer
from av.filter import Graph
from PIL import Image

from prefect_seedance.video.filters import Pipe, pulled
from prefect_seedance.video.probe import Segment, open_video, tracks
from prefect_seedance.video.similarity import similarity

SAMPLE_RATE = 48_000

_LAYOUT = "stereo"
_FORMAT = "fltp"

_SAME_PICTURE = 0.92
"""From this likeness on, the frames on both sides of a cut are one picture, there twice. Two pictures of one
place reach about 0.8, one picture that was encoded twice 0.95."""

_FINE: dict[str, str] = {"preset": "veryfast", "crf": "17"}
"""Hardly to be told from the original, and encoded faster than it plays."""

_SOUND_BITS = 192_000

_IO_BYTES = 1 << 20
"""What is collected before it is written."""


class Transcoder:
    """A video that grows by others, whatever they are like.

    The last frame of a clip and the first of the next are often the same picture, which would stand still for
    two frames at every cut: then the second is left out, and as much of the sound. Each track is encoded
    as one, so no rounding adds up: at every cut, sound and picture are less than a sample apart.

    Frames and sound of one clip at most are in memory.
    """

    def __init__(
        self,
        out: BinaryIO,
        *,
        model: BinaryIO,
        sound: bool,
        crossfade_seconds: float,
        index_bytes: int,
    ) -> None:
        """Begin a video.

        Args:
            out: An empty file, to be written and sought in.
            model: A video whose size and frame rate are what those of this one shall be.
            sound: Whether it has a sound track, which is silent where a clip has none.
            crossfade_seconds: How long the sound of one clip turns into that of the next, half of it before
                and half after the cut. No clip has sound beyond its ends, so there it runs backwards.
            index_bytes: Room for the index before the pictures, so that it plays while it loads.
        """
        with open_video(model) as container:
            video, _ = tracks(container)
            options = {"moov_size": str(index_bytes), "max_interleave_delta": "0"}
            self._out = av.open(out, "w", format="mp4", options=options, buffer_size=_IO_BYTES)
            self._pictures = _Pictures(self._out, video)
            self._sound = _Sound(self._out, crossfade_seconds=crossfade_seconds) if sound else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    def add(self, file: BinaryIO) -> Segment:
        """Put a video behind what is there.

        Raises:
            IntegrityError: It cannot be decoded.
        """
        start = self._pictures.count
        with open_video(file) as container:
            video, audio = tracks(container)
            audio = audio if self._sound else None
            begin_seconds = (video.start_time or 0) * (video.time_base or 0)
            fitting = Pipe(video, *self._pictures.steps(video))
            sampling = Pipe(audio, *_SAMPLING) if audio else None
            fitted = _Fitted(self._pictures)
            for packet in container.demux(*(stream for stream in (video, audio) if stream)):
                for frame in packet.decode():
                    if isinstance(frame, VideoFrame):
                        fitted.take(fitting.push(frame))
                    elif self._sound and sampling and isinstance(frame, AudioFrame):
                        frame.pts = (frame.pts or 0) - round(begin_seconds / (frame.time_base or 1))
                        self._sound.hear(sampling.push(frame))
            dropped = fitted.finish(fitting.push(None))
            if self._sound and sampling:
                self._sound.hear(sampling.push(None))
        return self._place(start, dropped_frames=dropped)

    def add_still(self, picture: Image.Image, *, seconds: float) -> Segment:
        """Show a picture for a while, in silence."""
        start = self._pictures.count
        self._pictures.hold(picture, frames=max(1, round(seconds * self._pictures.rate)))
        return self._place(start)

    def finish(self) -> None:
        """Write what is left; nothing can be added any more."""
        self._pictures.finish()
        if self._sound:
            self._sound.finish()
        self._out.close()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._pictures.size

    def _place(self, start: int, *, dropped_frames: int = 0) -> Segment:
        rate, end = self._pictures.rate, self._pictures.count
        if self._sound:
            self._sound.end_clip(
                skip=round(dropped_frames / rate * SAMPLE_RATE),
                samples=round(end / rate * SAMPLE_RATE) - round(start / rate * SAMPLE_RATE),
            )
        return Segment(float(start / rate), float((end - start) / rate), dropped_frames)


class _Pictures:
    """The track of pictures; it counts in frames."""

    def __init__(self, out: OutputContainer, model: VideoStream) -> None:
        self.rate = model.average_rate or Fraction(24)
        self.size = model.width // 2 * 2, model.height // 2 * 2
        self.count = 0
        self.last: VideoFrame | None = None
        self._out = out
        self._stream = out.add_stream("libx264", rate=self.rate, options=_FINE)
        self._stream.width, self._stream.height = self.size
        self._stream.pix_fmt = "yuv420p"
        codec, like = self._stream.codec_context, model.codec_context
        codec.colorspace, codec.color_range = like.colorspace, like.color_range
        codec.color_primaries, codec.color_trc = like.color_primaries, like.color_trc

    def steps(self, video: VideoStream) -> Iterator[tuple[str, str]]:
        """Yield what makes a clip's frames those of this track; bars fill what is of another shape."""
        wide, high = self.size
        if (video.width, video.height) != self.size:
            yield "scale", f"{wide}:{high}:force_original_aspect_ratio=decrease:force_divisible_by=2"
            yield "pad", f"{wide}:{high}:-1:-1"
        if video.average_rate != self.rate:
            yield "fps", f"{self.rate}:start_time={float((video.start_time or 0) * (video.time_base or 0))}"
        yield "setsar", "1"
        yield "format", "yuv420p"

    def show(self, frame: VideoFrame) -> None:
        """Add a frame."""
        frame.pts, frame.time_base = self.count, 1 / self.rate
        self.count += 1
        self.last = frame
        self._out.mux(self._stream.encode(frame))

    def hold(self, picture: Image.Image, *, frames: int) -> None:
        """Add a picture that stands still."""
        still = VideoFrame.from_image(picture).reformat(format="yuv420p")  # type: ignore[no-untyped-call]
        for _ in range(frames):
            self.show(still)
        self.last = None

    def finish(self) -> None:
        self._out.mux(self._stream.encode(None))


class _Fitted:
    """The frames of one clip, the first of which may be there already."""

    def __init__(self, pictures: _Pictures) -> None:
        self._pictures = pictures
        self._before = pictures.last
        self._again: VideoFrame | None = None
        self._dropped = 0

    def take(self, frames: Iterator[VideoFrame | AudioFrame]) -> None:
        """Add frames, but for a first one that shows what the last one before the clip does."""
        for frame in cast(Iterator[VideoFrame], frames):
            before, self._before = self._before, None
            if before and _are_alike(before, frame):
                self._again = frame
                continue
            self._dropped += self._again is not None
            self._again = None
            self._pictures.show(frame)

    def finish(self, frames: Iterator[VideoFrame | AudioFrame]) -> int:
        """Add the last frames, and return how many were left out; never all that the clip has."""
        self.take(frames)
        if self._again:
            self._pictures.show(self._again)
        return self._dropped


def _are_alike(a: VideoFrame, b: VideoFrame) -> bool:
    return similarity(_image(a), _image(b)) >= _SAME_PICTURE


def _image(frame: VideoFrame) -> Image.Image:
    return cast(Image.Image, frame.to_image())  # type: ignore[no-untyped-call]  # PyAV left it out


_SAMPLING = (
    ("aresample", f"{SAMPLE_RATE}:async=1:first_pts=0"),
    ("aformat", f"sample_fmts={_FORMAT}:channel_layouts={_LAYOUT}"),
)
"""One sample rate, with silence where a clip has holes in its sound."""


class _Sound:
    """The track of sound; it counts in samples."""

    def __init__(self, out: OutputContainer, *, crossfade_seconds: float) -> None:
        self._out = out
        self._stream = out.add_stream("aac", rate=SAMPLE_RATE, layout=_LAYOUT)
        self._stream.codec_context.bit_rate = _SOUND_BITS
        self._count = 0
        self._half = round(crossfade_seconds * SAMPLE_RATE / 2)
        self._clip = AudioFifo()
        self._tail: AudioFrame | None = None

    def hear(self, frames: Iterator[VideoFrame | AudioFrame]) -> None:
        """Take in some of the present clip's sound."""
        for frame in cast(Iterator[AudioFrame], frames):
            frame.pts = None
            self._clip.write(frame)

    def end_clip(self, *, skip: int, samples: int) -> None:
        """Add as much sound as the clip has pictures, which leaves out its first samples."""
        missing = skip + samples - self._clip.samples
        if missing > 0:
            self._clip.write(_silence(missing))
        if skip:
            self._take(skip)
        half = self._half if samples > 2 * self._half else 0
        if self._tail:
            if half:
                samples -= half
                for frame in _crossfaded(self._tail, self._take(half)):
                    self._write(frame)
            else:
                self._write(self._tail)
        self._write(self._take(samples - half))
        self._tail = self._take(half) if half else None
        self._clip = AudioFifo()

    def finish(self) -> None:
        if self._tail:
            self._write(self._tail)
        self._out.mux(self._stream.encode(None))

    def _take(self, samples: int) -> AudioFrame:
        return cast(AudioFrame, self._clip.read(samples))

    def _write(self, frame: AudioFrame) -> None:
        frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        frame.pts = self._count
        self._count += frame.samples
        self._out.mux(self._stream.encode(frame))


def _silence(samples: int) -> AudioFrame:
    frame = AudioFrame(format=_FORMAT, layout=_LAYOUT, samples=samples)
    frame.sample_rate = SAMPLE_RATE
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


def _crossfaded(tail: AudioFrame, head: AudioFrame) -> Iterator[AudioFrame]:
    """Turn the end of one sound into the beginning of another, which takes as long as both together."""
    graph = Graph()
    sink, fade = graph.add("abuffersink"), graph.add("acrossfade", f"ns={2 * tail.samples}:c1=qsin:c2=qsin")
    fade.link_to(sink)
    sources = []
    for place, is_tail in enumerate((True, False)):
        source = graph.add_abuffer(
            sample_rate=SAMPLE_RATE, format=_FORMAT, layout=_LAYOUT, time_base=Fraction(1, SAMPLE_RATE)
        )
        split, back, both = graph.add("asplit"), graph.add("areverse"), graph.add("concat", "n=2:v=0:a=1")
        source.link_to(split)
        split.link_to(back, 0)
        back.link_to(both, 0, 1 if is_tail else 0)
        split.link_to(both, 1, 0 if is_tail else 1)
        both.link_to(fade, 0, place)
        sources.append(source)
    graph.configure()
    for source, frame in zip(sources, (tail, head), strict=True):
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 0
        source.push(frame)
        source.push(None)
    yield from cast(Iterator[AudioFrame], pulled(sink))
