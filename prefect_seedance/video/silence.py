"""Make silence."""

from av import AudioFrame
from av.audio.codeccontext import AudioCodecContext

SAMPLE_FORMAT = "fltp"
"""Samples as floating-point numbers, one plane for each channel, as FFmpeg's AAC encoder takes them."""

_UNSETTLED_PACKETS = 3
"""An encoder's first packets are not yet pure silence."""


def silent_frame(samples: int, *, rate: int, layout: str) -> AudioFrame:
    """Return a frame of silence.

    Args:
        samples: Length in samples of one channel.
        rate: Samples a second.
        layout: Channels, such as ``stereo``.
    """
    frame = AudioFrame(format=SAMPLE_FORMAT, layout=layout, samples=samples)
    frame.sample_rate = rate
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


def silent_aac_packet(*, rate: int, layout: str) -> bytes:
    """Encode one packet of silence as plain AAC."""
    encoder = AudioCodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, layout, SAMPLE_FORMAT
    encoder.open()
    frame = silent_frame(encoder.frame_size, rate=rate, layout=layout)
    packets: list[bytes] = []
    while len(packets) <= _UNSETTLED_PACKETS:
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets[-1]
