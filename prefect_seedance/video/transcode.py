"""Join videos of different formats by re-encoding them to one."""

from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, Self, cast

import av
from av import AudioFrame, VideoFrame, VideoStream
from av.container import OutputContainer
from PIL import Image

from prefect_seedance.video.filters import Filter, FilterChain
from prefect_seedance.video.probe import Segment, open_video, shown_size, tracks
from prefect_seedance.video.similarity import similarity
from prefect_seedance.video.transcode_sound import SAMPLE_RATE, SoundTrack

_SAME_FRAME = 0.92
"""From this similarity on, the frames on both sides of a cut show the same image. Two images of one place
reach about 0.8, one image encoded twice reaches 0.95."""

_QUALITY: dict[str, str] = {"preset": "veryfast", "crf": "17"}
"""Visually lossless, and encoded faster than real time."""

_IO_BYTES = 1 << 20
"""Size of the write buffer."""


class Transcoder:
    """Appends videos of any format to one video.

    The last frame of a clip and the first of the next often show the same image. Then the second frame is
    dropped, with as much of the sound, because motion would stop for a frame at every cut. Each track is
    encoded as one stream, so rounding does not accumulate: at every cut, sound and frames are less than one
    sample apart.

    At most the frames and the sound of one clip are in memory.
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
        """Start a video.

        Args:
            out: An empty, writable and seekable file.
            model: A video with the size and frame rate of the result.
            sound: Whether the result has a sound track, which is silent where a clip has none.
            crossfade_seconds: Overlap of the sounds at a cut, half before and half after it. A clip has no
                sound beyond its ends, so the overlapping part is played backwards.
            index_bytes: Space reserved for the index in front, so that players can start while loading.
        """
        with open_video(model) as container:
            video, _ = tracks(container)
            options = {"moov_size": str(index_bytes), "max_interleave_delta": "0", "flush_packets": "0"}
            self._out = av.open(out, "w", format="mp4", options=options, buffer_size=_IO_BYTES)
            self._video = _VideoTrack(self._out, video)
            self._sound = SoundTrack(self._out, crossfade_seconds=crossfade_seconds) if sound else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    def add(self, file: BinaryIO) -> Segment:
        """Append a video.

        Raises:
            IntegrityError: The video cannot be decoded.
        """
        start = self._video.count
        with open_video(file) as container:
            video, audio = tracks(container)
            audio = audio if self._sound else None
            begin_seconds = (video.start_time or 0) * (video.time_base or 0)
            scaling = FilterChain(video, *self._video.filters(video))
            resampling = self._sound.resampler(audio) if self._sound and audio else None
            frames = _ClipFrames(self._video)
            for packet in container.demux(*(stream for stream in (video, audio) if stream)):
                for frame in packet.decode():
                    if isinstance(frame, VideoFrame):
                        frames.add(scaling.push(frame))
                    elif self._sound and resampling and isinstance(frame, AudioFrame):
                        frame.pts = (frame.pts or 0) - round(begin_seconds / (frame.time_base or 1))
                        self._sound.add(resampling.push(frame))
            dropped = frames.finish(scaling.push(None))
            if self._sound and resampling:
                self._sound.add(resampling.push(None))
        return self._segment(start, dropped_frames=dropped)

    def add_still(self, image: Image.Image, *, seconds: float) -> Segment:
        """Append an image, without sound."""
        start = self._video.count
        self._video.hold(image, frames=max(1, round(seconds * self._video.rate)))
        return self._segment(start)

    def finish(self) -> None:
        """Flush the encoders, and close the video."""
        self._video.finish()
        if self._sound:
            self._sound.finish()
        self._out.close()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._video.size

    def _segment(self, start: int, *, dropped_frames: int = 0) -> Segment:
        rate, end = self._video.rate, self._video.count
        if self._sound:
            self._sound.end_clip(
                skip=round(dropped_frames / rate * SAMPLE_RATE),
                samples=round(end / rate * SAMPLE_RATE) - round(start / rate * SAMPLE_RATE),
            )
        return Segment(float(start / rate), float((end - start) / rate), dropped_frames)


class _VideoTrack:
    """The video track; its clock counts frames."""

    def __init__(self, out: OutputContainer, model: VideoStream) -> None:
        self.rate = model.average_rate or Fraction(24)
        wide, high = shown_size(model)
        self.size = wide // 2 * 2, high // 2 * 2
        self.count = 0
        self.last: VideoFrame | None = None
        self._out = out
        self._stream = out.add_stream("libx264", rate=self.rate, options=_QUALITY)
        self._stream.width, self._stream.height = self.size
        self._stream.pix_fmt = "yuv420p"
        codec, like = self._stream.codec_context, model.codec_context
        codec.colorspace, codec.color_range = like.colorspace, like.color_range
        codec.color_primaries, codec.color_trc = like.color_primaries, like.color_trc

    def filters(self, video: VideoStream) -> Iterator[Filter]:
        """Yield the filters that convert a clip to this track; bars fill another aspect ratio.

        The times of the frames decide which of them are shown: a clip may have a variable frame rate that is
        the track's on average.
        """
        fitted = _fitted(shown_size(video), self.size)
        if fitted != (video.width, video.height):
            yield "scale", "{}:{}".format(*fitted)
        yield "setsar", "1"
        if fitted != self.size:
            yield "pad", "{}:{}:-1:-1".format(*self.size)
        yield "fps", f"{self.rate}:start_time={float((video.start_time or 0) * (video.time_base or 0))}"
        yield "format", "yuv420p"

    def add(self, frame: VideoFrame) -> None:
        """Add a frame."""
        frame.pts, frame.time_base = self.count, 1 / self.rate
        self.count += 1
        self.last = frame
        self._out.mux(self._stream.encode(frame))

    def hold(self, image: Image.Image, *, frames: int) -> None:
        """Add a still image."""
        still = VideoFrame.from_image(image).reformat(format="yuv420p")  # type: ignore[no-untyped-call]  # untyped in PyAV
        for _ in range(frames):
            self.add(still)
        self.last = None

    def finish(self) -> None:
        self._out.mux(self._stream.encode(None))


class _ClipFrames:
    """Adds the frames of one clip, without a first one that repeats the previous clip's last."""

    def __init__(self, track: _VideoTrack) -> None:
        self._video = track
        self._before = track.last
        self._repeated: VideoFrame | None = None
        self._dropped = 0

    def add(self, frames: Iterator[VideoFrame | AudioFrame]) -> None:
        """Add frames; skip the first ones while they repeat the frame before the clip."""
        for frame in cast(Iterator[VideoFrame], frames):
            before, self._before = self._before, None
            if before and _show_the_same(before, frame):
                self._repeated = frame
                continue
            self._dropped += self._repeated is not None
            self._repeated = None
            self._video.add(frame)

    def finish(self, frames: Iterator[VideoFrame | AudioFrame]) -> int:
        """Add the last frames, and return the number of dropped ones; one frame always remains."""
        self.add(frames)
        if self._repeated:
            self._video.add(self._repeated)
        return self._dropped


def _fitted(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """Return the size, even in both directions, at which a picture fills the room in its own ratio."""
    scale = min(room[0] / size[0], room[1] / size[1])
    wide, high = (max(round(length * scale / 2) * 2, 2) for length in size)
    return min(wide, room[0]), min(high, room[1])


def _show_the_same(a: VideoFrame, b: VideoFrame) -> bool:
    first, second = (cast(Image.Image, frame.to_image()) for frame in (a, b))  # type: ignore[no-untyped-call]  # untyped in PyAV
    return similarity(first, second) >= _SAME_FRAME
