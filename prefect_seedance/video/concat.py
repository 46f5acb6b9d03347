"""Put videos end to end as they are, without touching their pictures and sounds."""

import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, BinaryIO, Self, TypeAlias

import av
from av import AudioFrame, AudioStream, Packet, VideoStream
from av.audio.codeccontext import AudioCodecContext
from av.container import OutputContainer

from prefect_seedance.video.probe import Segment, open_video, tracks

_IO_BYTES = 1 << 20
"""What is collected before it is written; with FFmpeg's own 32 KiB Python is called for every few packets."""

_HELD_PACKETS = 3
"""So many overlap the next clip's first one: one is padding, one is where that begins, half is rounding."""

_UNSETTLED_PACKETS = 3
"""An encoder's first packets are not quite those of silence yet."""

_NOTHING = -sys.maxsize
"""Where a track ends that has not begun; it may begin before 0, with what a decoder needs to start."""

_Packets: TypeAlias = "Sequence[Packet[Any]]"


class UnlikeError(Exception):
    """A video cannot follow the others unless it is encoded anew; the message says why."""


class Splice:
    """A video that grows by others of its kind.

    Pictures follow each other without a gap. Sound comes in packets of fixed length (21 ms of AAC at 48 kHz),
    so the sound of a clip is never as long as its pictures. At each cut just as many packets are left out as
    keep all that follows within half a packet of its pictures, and the track itself gets no hole that a
    player would have to mend. The silent packet that an encoder begins with takes the place of the last one
    before the cut, from which a decoder gets into the new sound without a click.

    Besides the index, which grows by some bytes a packet, one clip at a time is in memory as it is encoded.
    """

    def __init__(self, out: BinaryIO, *, model: BinaryIO, index_bytes: int) -> None:
        """Begin a video.

        Args:
            out: An empty file, to be written and sought in.
            model: A video whose tracks are what those of this one shall be.
            index_bytes: Room for the index before the pictures, so that it plays while it loads.
        """
        with open_video(model) as container:
            video, audio = tracks(container)
            options = {
                "moov_size": str(index_bytes),
                "video_track_timescale": str(_unit(video).denominator),
                "max_interleave_delta": "0",  # or a clip without sound would stay behind what follows it
            }
            self._out = av.open(out, "w", format="mp4", options=options, buffer_size=_IO_BYTES)
            self._pictures = _Pictures(self._out, video)
            self._sound = _Sound(self._out, audio) if audio else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    def add(self, file: BinaryIO) -> Segment:
        """Put a video behind what is there.

        Raises:
            UnlikeError: It is encoded otherwise.
            IntegrityError: It cannot be read.
        """
        with open_video(file) as container:
            video, audio = tracks(container)
            wanted = [stream for stream in (video, audio if self._sound else None) if stream]
            packets = [packet for packet in container.demux(*wanted) if packet.size]
            start = self._pictures.end_seconds
            begin = self._pictures.add(video, [packet for packet in packets if packet.stream is video])
            if self._sound:
                sounds = [packet for packet in packets if packet.stream is audio]
                self._sound.add(
                    audio,
                    sounds,
                    start_seconds=start,
                    end_seconds=self._pictures.end_seconds,
                    shift_seconds=start - begin,
                )
            return Segment(float(start), float(self._pictures.end_seconds - start))

    def finish(self) -> None:
        """Write what is left; nothing can be added any more."""
        if self._sound:
            self._sound.finish(self._pictures.end_seconds)
        self._out.close()


def index_bytes(*, frames: int, sound_packets: int) -> int:
    """Return how much room the index of so many packets needs at most.

    A packet takes 8 bytes each for its time, its order and its place, 4 for its size, 4 if it is a keyframe,
    and 12 for a chunk of its own. Source: ISO/IEC 14496-12, sections 8.6 and 8.7.
    """
    return 44 * (frames + sound_packets) + 64 * 1024


class _Pictures:
    """The track of pictures, which counts in the ticks of its clips."""

    def __init__(self, out: OutputContainer, model: VideoStream) -> None:
        self._out = out
        self._kind = _kind_of_pictures(model)
        self._stream = out.add_stream_from_template(model)
        self._stream.time_base = _unit(model)
        self._end = 0
        self._last_dts: int | None = None

    @property
    def end_seconds(self) -> Fraction:
        """How long it is by now."""
        return self._end * _unit(self._stream)

    def add(self, video: VideoStream, packets: _Packets) -> Fraction:
        """Take a clip's pictures, and return when they begin by the clip's own clock."""
        for name, value in _kind_of_pictures(video).items():
            if value != self._kind[name]:
                raise UnlikeError(f"its {name} is not that of the others")
        if not packets or any(packet.is_discard or None in (packet.pts, packet.dts) for packet in packets):
            raise UnlikeError("some of its frames are hidden")
        begin = min(_pts(packet) for packet in packets)
        shift = self._end - begin
        first = packets[0]
        follows = self._last_dts is None or _dts(first) + shift > self._last_dts
        if not first.is_keyframe or first.pts != begin or not follows:
            raise UnlikeError("its first frame cannot follow another clip")
        self._end = shift + max(_pts(packet) + (packet.duration or 0) for packet in packets)
        for packet in packets:
            packet.pts, packet.dts, packet.stream = _pts(packet) + shift, _dts(packet) + shift, self._stream
            self._last_dts = packet.dts
            self._out.mux_one(packet)
        return begin * _unit(video)


class _Sound:
    """The track of sound, which counts in samples."""

    def __init__(self, out: OutputContainer, model: AudioStream) -> None:
        self._out = out
        self._kind = _kind_of_sound(model)
        self._stream = out.add_stream_from_template(model)
        self._rate = model.codec_context.sample_rate
        self._length = model.codec_context.frame_size
        self._stream.time_base = _unit(model)
        if _unit(model) != Fraction(1, self._rate) or not self._length:
            raise UnlikeError("the times of its sound are rounded")
        self._end = _NOTHING
        self._held: list[tuple[int, Packet[Any]]] = []
        self._silence = b""

    def add(
        self,
        audio: AudioStream | None,
        packets: _Packets,
        *,
        start_seconds: Fraction,
        end_seconds: Fraction,
        shift_seconds: Fraction,
    ) -> None:
        """Take a clip's sound, if it has any, and let the last clip's end where this one's begins."""
        if audio and _kind_of_sound(audio) != self._kind:
            raise UnlikeError("its sound is encoded otherwise than that of the others")
        shift = round(shift_seconds * self._rate)
        first = max((at for at, packet in enumerate(packets) if packet.is_discard), default=0)
        timed = [(_pts(packet) + shift, packet) for packet in packets[first:]]
        self._release(before=timed[0][0] if timed else round(start_seconds * self._rate))
        certain = round(end_seconds * self._rate) - _HELD_PACKETS * self._length
        for moment, packet in timed:
            if moment < certain:
                self._put(moment, packet)
        self._held = [each for each in timed if each[0] >= certain]

    def finish(self, end_seconds: Fraction) -> None:
        """Let the sound end with the pictures."""
        end = round(end_seconds * self._rate)
        self._release(before=end)
        self._fill(upto=end)

    def _release(self, *, before: int) -> None:
        """Write of what was held back what ends before this moment, give or take half a packet."""
        for moment, packet in self._held:
            if self._end + self._length // 2 < before:
                self._put(moment, packet)
        self._held = []

    def _put(self, moment: int, packet: "Packet[Any]") -> None:
        """Write a packet where the track ends, unless what is there has gone beyond its moment."""
        self._fill(upto=moment)
        if self._end == _NOTHING:
            self._end = moment
        if moment >= self._end - self._length // 2:
            self._write(packet)

    def _fill(self, *, upto: int) -> None:
        if self._end == _NOTHING and upto > 0:
            self._end = 0
        while self._end != _NOTHING and self._end + self._length // 2 < upto:
            self._write(Packet(self._silent_packet()))

    def _write(self, packet: "Packet[Any]") -> None:
        packet.stream = self._stream
        packet.time_base = _unit(self._stream)
        packet.pts = packet.dts = self._end
        packet.duration = self._length
        self._end += self._length
        self._out.mux_one(packet)

    def _silent_packet(self) -> bytes:
        if not self._silence:
            self._silence = _silence(self._kind)
        return self._silence


def _kind_of_pictures(video: VideoStream) -> dict[str, object]:
    """Say what must be the same for pictures to follow each other, each by its name for people."""
    codec = video.codec_context
    return {
        "codec": codec.codec.canonical_name,
        "size": (codec.width, codec.height, codec.sample_aspect_ratio),
        "frame rate": video.average_rate,
        "pixel format": codec.pix_fmt,
        "unit of time": video.time_base,
        "colour space": (codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc),
        "encoding": codec.extradata,
    }


def _kind_of_sound(audio: AudioStream) -> tuple[str, str | None, int, str, bytes]:
    """Say what must be the same for sounds to follow each other: codec, profile, rate, channels, set-up.

    Of AAC's set-up the first two bytes say all that its plain profile has; others may follow or not.
    Source: ISO/IEC 14496-3, section 1.6.
    """
    codec = audio.codec_context
    name, set_up = codec.codec.canonical_name, bytes(codec.extradata or b"")
    return name, codec.profile, codec.sample_rate, codec.layout.name, set_up[:2] if name == "aac" else set_up


def _silence(kind: tuple[str, str | None, int, str, bytes]) -> bytes:
    """Encode one packet of silence."""
    name, profile, rate, layout, _ = kind
    if (name, profile) != ("aac", "LC"):
        raise UnlikeError(f"it lacks sound that the others have, and silence cannot be made in their {name}")
    encoder = AudioCodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, layout, "fltp"
    encoder.open()
    frame = AudioFrame(format="fltp", layout=layout, samples=encoder.frame_size)
    frame.sample_rate = rate
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    packets: list[bytes] = []
    while len(packets) <= _UNSETTLED_PACKETS:
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets[-1]


def _pts(packet: "Packet[Any]") -> int:
    return packet.pts or 0


def _dts(packet: "Packet[Any]") -> int:
    return packet.dts or 0


def _unit(stream: VideoStream | AudioStream) -> Fraction:
    return stream.time_base or Fraction(1)
