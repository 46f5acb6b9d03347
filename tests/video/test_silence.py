"""Silent frames and packets."""

import pytest
from av import Packet
from av.audio.codeccontext import AudioCodecContext

from prefect_seedance.video.silence import silent_aac_packet, silent_frame


def test_frame_is_silent() -> None:
    """A frame has the requested length and format, and only zeros."""
    frame = silent_frame(1000, rate=48_000, layout="stereo")

    assert (frame.samples, frame.sample_rate, frame.layout.name) == (1000, 48_000, "stereo")
    assert [any(bytes(plane)) for plane in frame.planes] == [False, False]


@pytest.mark.parametrize(("rate", "layout"), [(48_000, "stereo"), (44_100, "mono")])
def test_packet_decodes_to_silence(rate: int, layout: str) -> None:
    """A packet decodes to zeros, also if it is repeated."""
    decoder = AudioCodecContext.create("aac", "r")
    decoder.sample_rate, decoder.layout = rate, layout
    packet = silent_aac_packet(rate=rate, layout=layout)

    frames = [frame for _ in range(3) for frame in decoder.decode(Packet(packet))]

    assert frames
    assert not any(any(bytes(plane)) for frame in frames for plane in frame.planes)
