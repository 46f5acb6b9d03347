"""Structural similarity of two images."""

from fractions import Fraction

from av import VideoFrame
from av.filter import Graph
from PIL import Image

from prefect_seedance.video.filters import pull_frames

_COMPARED_PIXELS = 256
"""Length of the shorter side, which suits a typical viewing distance.
Source: https://ece.uwaterloo.ca/~z70wang/research/ssim/, read 2026-11."""


def similarity(a: Image.Image, b: Image.Image) -> float:
    """Return the structural similarity of two images: 1.0 is identical.

    Both are scaled to 256 pixels on the shorter side, with the aspect ratio of ``a``.
    """
    return _ssim(comparable(a), b.convert("RGB").resize(_size(a), Image.Resampling.LANCZOS))


def comparable(image: Image.Image) -> Image.Image:
    """Return an image as `similarity` compares it, which takes less memory."""
    return image.convert("RGB").resize(_size(image), Image.Resampling.LANCZOS)


def _size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    scale = _COMPARED_PIXELS / min(width, height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _ssim(a: Image.Image, b: Image.Image) -> float:
    """Return the structural similarity of two images of one size.

    It is the lowest of the values that ``ffmpeg -lavfi ssim`` reports as Y, U and V: of brightness and of
    both colours.
    """
    graph = Graph()
    measure, sink = graph.add("ssim"), graph.add("buffersink")
    frames = [VideoFrame.from_image(image) for image in (a, b)]  # type: ignore[no-untyped-call]  # untyped in PyAV
    sources = []
    for index, frame in enumerate(frames):
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1)
        )
        planes = graph.add("format", "yuv420p")
        source.link_to(planes)
        planes.link_to(measure, 0, index)
        sources.append(source)
    measure.link_to(sink)
    graph.configure()
    for source, frame in zip(sources, frames, strict=True):
        frame.pts = 0
        source.push(frame)
        source.push(None)
    measured = next(pull_frames(sink)).metadata
    return min(float(measured[f"lavfi.ssim.{plane}"]) for plane in "YUV")
