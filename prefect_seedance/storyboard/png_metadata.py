"""Remove metadata from a PNG that Pillow would refuse for its size.

Programs that generate images store their whole workflow as text. Pillow bounds the text of a PNG by 1 MB a
chunk, also that of a colour profile, and then refuses the image. Its limits belong to the whole process.
"""

import zlib
from collections.abc import Iterator
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_FRAME_BYTES: Final = 12
"""Length, type and checksum. Source: https://www.w3.org/TR/png-3/#5Chunk-layout, read 2026-11-27."""

_MAX_TEXT_BYTES: Final = 500_000
"""The largest text that Pillow receives. A text may contain the orientation, which takes some kilobytes."""

_MAX_TEXTS_BYTES: Final = 8_000_000
"""The limit of all such texts together."""

_MAX_PROFILE_BYTES: Final = 16_000_000
"""The largest colour profile. Those of printers have some megabytes."""


def reduced(content: bytes) -> tuple[bytes, bytes | None]:
    """Return a PNG without large texts and without its colour profile, and that profile.

    Content of another format, and a PNG without a profile and large texts, stays as it is.
    """
    if not content.startswith(_SIGNATURE):
        return content, None
    view, kept, profile = memoryview(content), [], None
    texts_bytes, copied = 0, 0
    for start, end in _chunks(content):
        kind, body = content[start + 4 : start + 8], view[start + 8 : end - 4]
        if kind == b"iCCP":
            profile = profile or _profile(bytes(body))
        elif kind in {b"tEXt", b"zTXt", b"iTXt"}:
            size = _text_bytes(kind, body)
            if size <= _MAX_TEXT_BYTES and texts_bytes + size <= _MAX_TEXTS_BYTES:
                texts_bytes += size
                continue
        else:
            continue
        kept.append(view[copied:start])
        copied = end
    return (b"".join([*kept, view[copied:]]) if kept else content), profile


def _chunks(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each whole chunk starts and ends."""
    start = len(_SIGNATURE)
    while start + _FRAME_BYTES <= len(content):
        end = start + _FRAME_BYTES + int.from_bytes(content[start : start + 4])
        if end > len(content):
            return
        yield start, end
        start = end


def _text_bytes(kind: bytes, body: memoryview) -> int:
    """Return the size of a text when it is unpacked, or a larger number than is kept."""
    if kind == b"tEXt" or len(body) > _MAX_TEXT_BYTES:
        return len(body)
    _, _, value = bytes(body).partition(b"\0")
    if kind == b"iTXt":
        if value[:1] != b"\1":
            return len(body)
        value = value[1:].split(b"\0", 2)[-1]
    return len(_unpacked(value[1:], limit=_MAX_TEXT_BYTES))


def _profile(body: bytes) -> bytes | None:
    """Return the colour profile in a chunk; None if it is damaged or absurdly large."""
    _, _, value = body.partition(b"\0")
    profile = _unpacked(value[1:], limit=_MAX_PROFILE_BYTES)
    return profile if 0 < len(profile) <= _MAX_PROFILE_BYTES else None


def _unpacked(packed: bytes, *, limit: int) -> bytes:
    """Unpack at most one byte more than the limit; nothing if it is damaged."""
    try:
        return zlib.decompressobj().decompress(packed, limit + 1)
    except zlib.error:
        return b""
