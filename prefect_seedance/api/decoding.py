"""Decode content that arrived compressed, a piece at a time, so that the reader can stop at a bound."""

import importlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

_PIECE_BYTES: Final = 64 * 1024
_MAX_ENCODINGS: Final = 4
"""Encodings of one content, one inside the other; servers use one, and by mistake two."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP: Final = 16 + zlib.MAX_WBITS


class DecodingError(Exception):
    """The content is damaged or incomplete, or cannot be decoded here."""


def decoded(chunks: Iterator[bytes], *, encoding: str) -> Iterator[bytes]:
    """Yield content in pieces of at most 64 KiB, without the encodings that a ``Content-Encoding`` lists.

    Unknown encodings are ignored, because servers also put other words there; so is a gzip that is missing.
    Content that begins like gzip is decoded, whatever the header says.

    Raises:
        DecodingError: If it is damaged.
    """
    names = [name.strip().lower() for name in encoding.split(",")]
    known = [_DECODERS[name] for name in reversed(names) if name in _DECODERS]
    for decoder in known[:_MAX_ENCODINGS]:
        chunks = decoder(chunks)
    return _ungzipped(chunks)


def _ungzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decode gzip, and pass other content on."""
    head, rest = _split(chunks)
    return _inflated(rest, wbits=_GZIP) if head.startswith(_GZIP_MAGIC) else rest


def _inflated_deflate(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decode zlib's format, or the bare one that some servers call deflate too."""
    head, rest = _split(chunks)
    has_header = len(head) > 1 and head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2]) % 31 == 0
    return _inflated(rest, wbits=zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _split(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, at least two, and an iterator over all bytes."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= len(_GZIP_MAGIC):
            break

    def rest() -> Iterator[bytes]:
        yield head
        yield from chunks

    return head, rest()


def _inflated(chunks: Iterator[bytes], *, wbits: int) -> Iterator[bytes]:
    """Decode gzip, which may have several members, or deflate; bytes after the end are ignored."""
    decompressor, between = zlib.decompressobj(wbits), b""
    try:
        for chunk in chunks:
            between += chunk
            while between and not (decompressor.eof and len(between) < len(_GZIP_MAGIC)):
                if decompressor.eof:
                    if wbits != _GZIP or not between.startswith(_GZIP_MAGIC):
                        return
                    decompressor = zlib.decompressobj(wbits)
                yield from _pieces(decompressor, between)
                between = decompressor.unused_data
    except zlib.error as error:
        raise DecodingError(f"it is damaged ({error})") from None
    if not decompressor.eof:
        raise DecodingError("it is incomplete")


def _pieces(decompressor: "zlib._Decompress", chunk: bytes) -> Iterator[bytes]:
    """Yield what a chunk expands to, up to the end of the member."""
    piece = b"-"
    while (chunk or len(piece) == _PIECE_BYTES) and not decompressor.eof:
        piece = decompressor.decompress(chunk, _PIECE_BYTES)
        chunk = decompressor.unconsumed_tail
        yield piece


def _unbrotlied(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        brotli: Any = importlib.import_module("brotli")
    except ImportError:
        raise DecodingError(
            "its encoding br needs a package; run pip install 'brotli>=1.2', then run again"
        ) from None
    decompressor = brotli.Decompressor()
    try:
        for chunk in chunks:
            piece = decompressor.process(chunk, output_buffer_limit=_PIECE_BYTES)
            while piece:
                yield piece
                piece = decompressor.process(b"", output_buffer_limit=_PIECE_BYTES)
            if decompressor.is_finished():
                return
    except brotli.error as error:
        raise DecodingError(f"it is damaged ({error})") from None
    raise DecodingError("it is incomplete")


_DECODERS: Mapping[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = MappingProxyType(
    {
        "gzip": _ungzipped,
        "x-gzip": _ungzipped,
        "deflate": _inflated_deflate,
        "br": _unbrotlied,
    }
)
