"""Join videos of one format without re-encoding."""

import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, BinaryIO, Self, TypeAlias

import av
from av import AudioStream, Packet, VideoStream
from av.container import OutputContainer

from prefect_seedance.video.probe import Segment, open_to_copy, open_video, tracks
from prefect_seedance.video.silence import silent_aac_packet

_IO_BYTES = 1 << 20
"""Size of the write buffer; with FFmpeg's own 32 KiB, it calls Python for every few packets."""

_HELD_PACKETS = 3
"""Packets that may overlap the next clip's first one: one of padding, one at its start, half of rounding."""

_NOTHING = -sys.maxsize
"""End of a track that has not started; it may start before 0, with packets that prime the decoder."""

_Format: TypeAlias = Mapping[str, object]
_Packets: TypeAlias = "Sequence[Packet[Any]]"


class FormatMismatchError(Exception):
    """A video cannot follow the others without re-encoding; the message gives the reason."""


class Concatenation:
    """Appends videos of one format to one video.

    Frames follow each other without a gap. Sound consists of packets of fixed length (21 ms of AAC at
    48 kHz), so the sound of a clip is never exactly as long as its frames. At each cut, as many packets are
    dropped as keep the following sound within half a packet of its frames, and the track has no gap that a
    player would have to conceal. The silent packet at the start of an encoder's output replaces the last one
    before the cut; from it, a decoder starts the new sound without a click.

    One encoded clip at a time is in memory, and the index, which grows by some bytes per packet.
    """

    def __init__(self, out: BinaryIO, *, model: BinaryIO, index_bytes: int) -> None:
        """Start a video.

        Args:
            out: An empty, writable and seekable file.
            model: A video with the tracks of the result.
            index_bytes: Space reserved for the index in front, so that players can start while loading.
        """
        with open_to_copy(model) as container:
            video_format = _video_format(tracks(container)[0])
        with open_video(model) as container:
            video, audio = tracks(container)
            options = {
                "moov_size": str(index_bytes),
                "video_track_timescale": str(_time_base(video).denominator),
                "max_interleave_delta": "0",  # otherwise a clip without sound is delayed behind later ones
                "flush_packets": "0",  # otherwise each packet is a write
            }
            self._out = av.open(out, "w", format="mp4", options=options, buffer_size=_IO_BYTES)
            self._video = _VideoTrack(self._out, video, video_format)
            self._sound = _SoundTrack(self._out, audio) if audio else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()

    def add(self, file: BinaryIO) -> Segment:
        """Append a video.

        Raises:
            FormatMismatchError: The video has another format.
            IntegrityError: The video cannot be read.
        """
        with open_to_copy(file) as container:
            video, audio = tracks(container)
            wanted = [stream for stream in (video, audio if self._sound else None) if stream]
            packets = [packet for packet in container.demux(*wanted) if packet.size]
            start = self._video.end_seconds
            begin = self._video.add(video, [packet for packet in packets if packet.stream is video])
            if self._sound:
                sounds = [packet for packet in packets if packet.stream is audio]
                self._sound.add(
                    audio,
                    sounds,
                    start_seconds=start,
                    end_seconds=self._video.end_seconds,
                    shift_seconds=start - begin,
                )
            return Segment(float(start), float(self._video.end_seconds - start))

    def finish(self) -> None:
        """Flush the tracks, and close the video."""
        if self._sound:
            self._sound.finish(self._video.end_seconds)
        self._out.close()


def index_bytes(*, frames: int, sound_packets: int) -> int:
    """Return the maximum size of the index of a video with these packets.

    A packet takes 8 bytes each for time, order and position, 4 for size, 4 if it is a keyframe, and 12 for a
    chunk of its own. Source: ISO/IEC 14496-12, sections 8.6 and 8.7.
    """
    return 44 * (frames + sound_packets) + 64 * 1024


class _VideoTrack:
    """The video track; its clock is that of the clips."""

    def __init__(self, out: OutputContainer, model: VideoStream, video_format: _Format) -> None:
        self._out = out
        self._format = video_format
        self._stream = out.add_stream_from_template(model)
        self._stream.time_base = _time_base(model)
        self._end = 0
        self._last_dts: int | None = None

    @property
    def end_seconds(self) -> Fraction:
        """The current end of the track."""
        return self._end * _time_base(self._stream)

    def add(self, video: VideoStream, packets: _Packets) -> Fraction:
        """Append a clip's frames, and return their start by the clip's own clock."""
        for name, value in _video_format(video).items():
            if value != self._format[name]:
                raise FormatMismatchError(f"its {name} differs from the others")
        if not packets or any(packet.is_discard or None in (packet.pts, packet.dts) for packet in packets):
            raise FormatMismatchError("some of its frames are hidden")
        begin = min(_pts(packet) for packet in packets)
        shift = self._end - begin
        first = packets[0]
        follows = self._last_dts is None or _dts(first) + shift > self._last_dts
        if not first.is_keyframe or first.pts != begin or not follows:
            raise FormatMismatchError("its first frame cannot follow another clip")
        self._end = shift + max(_pts(packet) + (packet.duration or 0) for packet in packets)
        for packet in packets:
            packet.pts, packet.dts, packet.stream = _pts(packet) + shift, _dts(packet) + shift, self._stream
            self._last_dts = packet.dts
            self._out.mux_one(packet)
        return begin * _time_base(video)


class _SoundTrack:
    """The sound track; its clock counts samples."""

    def __init__(self, out: OutputContainer, model: AudioStream) -> None:
        self._out = out
        self._format = _sound_format(model)
        self._stream = out.add_stream_from_template(model)
        self._rate = model.codec_context.sample_rate
        self._length = model.codec_context.frame_size
        self._time_base = self._stream.time_base = _time_base(model)
        if self._time_base != Fraction(1, self._rate) or not self._length:
            raise FormatMismatchError("the timestamps of its sound are rounded")
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
        """Append a clip's sound, if it has any, and end the previous clip's sound where it starts."""
        if audio and _sound_format(audio) != self._format:
            raise FormatMismatchError("its sound has another format than the others")
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
        """End the sound with the frames."""
        end = round(end_seconds * self._rate)
        self._release(before=end)
        self._fill(upto=end)

    def _release(self, *, before: int) -> None:
        """Write the held packets that end before this time, within half a packet."""
        for moment, packet in self._held:
            if self._end + self._length // 2 < before:
                self._put(moment, packet)
        self._held = []

    def _put(self, moment: int, packet: "Packet[Any]") -> None:
        """Write a packet at the end of the track, unless the track has passed the packet's time."""
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
        packet.time_base = self._time_base
        packet.pts = packet.dts = self._end
        packet.duration = self._length
        self._end += self._length
        self._out.mux_one(packet)

    def _silent_packet(self) -> bytes:
        if not self._silence:
            self._silence = _silence(self._format)
        return self._silence


def _video_format(video: VideoStream) -> _Format:
    """Return the properties that must be equal for frames to follow each other, by name.

    Without a decoded frame, pixel format and colour space may be unknown. The codec's configuration has them,
    too, and is compared as a whole.
    """
    codec = video.codec_context
    return {
        "codec": codec.codec.canonical_name,
        "size": (codec.width, codec.height, codec.sample_aspect_ratio),
        "frame rate": video.average_rate,
        "pixel format": codec.pix_fmt,
        "time base": video.time_base,
        "colour space": (codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc),
        "encoding": codec.extradata,
    }


def _sound_format(audio: AudioStream) -> tuple[str, str | None, int, str, bytes]:
    """Return the properties that must be equal for sounds to follow each other.

    They are codec, profile, sample rate, channels and configuration. Of AAC's configuration, the first two
    bytes describe its plain profile; more bytes may follow.
    Source: ISO/IEC 14496-3, section 1.6.
    """
    codec = audio.codec_context
    name, configuration = codec.codec.canonical_name, bytes(codec.extradata or b"")
    return (
        name,
        codec.profile,
        codec.sample_rate,
        codec.layout.name,
        configuration[:2] if name == "aac" else configuration,
    )


def _silence(sound_format: tuple[str, str | None, int, str, bytes]) -> bytes:
    """Encode one packet of silence."""
    name, profile, rate, layout, _ = sound_format
    if (name, profile) != ("aac", "LC"):
        raise FormatMismatchError(
            f"it has no sound, unlike the others, and silence cannot be encoded as their {name}"
        )
    return silent_aac_packet(rate=rate, layout=layout)


def _pts(packet: "Packet[Any]") -> int:
    return packet.pts or 0


def _dts(packet: "Packet[Any]") -> int:
    return packet.dts or 0


def _time_base(stream: VideoStream | AudioStream) -> Fraction:
    time_base = stream.time_base or Fraction(1)  # PyAV 19 has a type of its own
    return Fraction(time_base.numerator, time_base.denominator)
