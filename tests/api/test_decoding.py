import gzip
import itertools
import sys
import zlib
from collections.abc import Iterator

import pytest

from prefect_seedance.api.decoding import DecodingError, decoded

TEXT = bytes(range(256)) * 1000


def bare(content: bytes) -> bytes:
    """Return content in the deflate format without a header."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


def brotli(content: bytes) -> bytes:
    """Return content in brotli's format, if the library is installed."""
    return bytes(pytest.importorskip("brotli").compress(content))


def decode(content: bytes, encoding: str, *, chunk_bytes: int = 1000) -> bytes:
    parts = (content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes))
    return b"".join(decoded(parts, encoding=encoding))


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 10**6])
@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (TEXT, "aws-chunked"),
        (TEXT, "utf-8"),
        (TEXT, "gzip"),
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT), "X-GZIP"),
        (gzip.compress(TEXT), ""),
        (gzip.compress(TEXT), "identity"),
        (gzip.compress(TEXT[:500]) + gzip.compress(TEXT[500:]), "gzip"),
        (gzip.compress(TEXT) + b"\0\0\0", "gzip"),
        (gzip.compress(gzip.compress(TEXT)), "gzip, gzip"),
        (gzip.compress(gzip.compress(TEXT)), "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (bare(TEXT), "deflate"),
        (gzip.compress(zlib.compress(TEXT)), "deflate, gzip"),
        (gzip.compress(TEXT), "gzip, aws-chunked"),
    ],
    ids=[
        "none", "identity", "foreign word", "charset", "missing gzip", "gzip", "x-gzip", "unannounced",
        "denied", "members", "bytes after it", "twice", "twice for once", "zlib", "bare", "two",
        "gzip and word",
    ],
)  # fmt: skip
def test_decodes_what_servers_send(content: bytes, encoding: str, chunk_bytes: int) -> None:
    """Content is decoded by its header and by its first bytes, however it is cut into chunks."""
    assert decode(content, encoding, chunk_bytes=chunk_bytes) == TEXT


@pytest.mark.parametrize("chunk_bytes", [1, 10**6])
def test_decodes_brotli(chunk_bytes: int) -> None:
    """Brotli is decoded, also outside of gzip."""
    assert decode(brotli(TEXT), "br", chunk_bytes=chunk_bytes) == TEXT
    assert decode(brotli(gzip.compress(TEXT)), "gzip, br", chunk_bytes=chunk_bytes) == TEXT


def test_missing_library_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library for brotli, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "brotli", None)

    with pytest.raises(DecodingError, match="pip install"):
        decode(b"", "br")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_damage_is_an_error(encoding: str) -> None:
    """Content that is cut or damaged raises an error."""
    content = gzip.compress(TEXT) if encoding == "gzip" else zlib.compress(TEXT)

    with pytest.raises(DecodingError, match="incomplete"):
        decode(content[:-9], encoding)
    with pytest.raises(DecodingError, match="damaged"):
        decode(content[:20] + b"\xff" * 100 + content[120:], encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_bombs_come_in_pieces(encoding: str) -> None:
    """However much the content expands, the reader gets small pieces, and may stop."""
    zeros = bytes(50_000_000)
    bomb = b""
    if encoding == "br":
        bomb = brotli(zeros)
    elif encoding == "deflate":
        bomb = zlib.compress(zeros)
    else:
        bomb = gzip.compress(zeros if encoding == "gzip" else gzip.compress(zeros))

    def whole() -> Iterator[bytes]:
        yield bomb

    pieces = list(itertools.islice(decoded(whole(), encoding=encoding), 20))

    assert max(map(len, pieces)) <= 128 * 1024
