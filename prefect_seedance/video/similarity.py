"""Structural similarity of two pictures."""

from fractions import Fraction

from av import VideoFrame
from av.filter import Graph
from PIL import Image

from prefect_seedance.video.filters import pulled

_SEEN_PIXELS = 256


def similarity(a: Image.Image, b: Image.Image) -> float:
    """Tell how alike two pictures are, by structural similarity: 1.0 is identical.

    They are compared as they are seen from some distance, with 256 pixels on the shorter side, as the
    measure's authors advise; ``b`` is given the shape of ``a``.
    Source: https://ece.uwaterloo.ca/~z70wang/research/ssim/, read 2026-11.
    """
    scale = _SEEN_PIXELS / min(a.size)
    size = tuple(max(2, round(side * scale / 2) * 2) for side in a.size)
    return _ssim(*(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS) for picture in (a, b)))


def _ssim(a: Image.Image, b: Image.Image) -> float:
    """Tell how alike two pictures of one size are, by structural similarity: 1.0 is identical.

    It is the worst of what ``ffmpeg -lavfi ssim`` calls Y, U and V: brightness and the two colours.
    """
    graph = Graph()
    measure, sink = graph.add("ssim"), graph.add("buffersink")
    frames = [VideoFrame.from_image(picture.convert("RGB")) for picture in (a, b)]  # type: ignore[no-untyped-call]
    sources = []
    for place, frame in enumerate(frames):
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1)
        )
        planes = graph.add("format", "yuv420p")
        source.link_to(planes)
        planes.link_to(measure, 0, place)
        sources.append(source)
    measure.link_to(sink)
    graph.configure()
    for source, frame in zip(sources, frames, strict=True):
        frame.pts = 0
        source.push(frame)
        source.push(None)
    measured = next(pulled(sink)).metadata
    return min(float(measured[f"lavfi.ssim.{plane}"]) for plane in "YUV")
