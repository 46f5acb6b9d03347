"""Read the body of a response within a bound, also if it is compressed."""

import zlib
from collections.abc import AsyncIterator
from typing import Final, cast

import httpx

_ENCODINGS: Final = {"gzip", "x-gzip", "deflate"}
"""The encodings that a server may use unasked, and whose decoder stops at a bound."""

ACCEPT_ENCODING: Final = "gzip, deflate"
"""What to request: httpx itself also offers encodings whose libraries are installed, such as ``br``."""

_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


async def read_body(response: httpx.Response, *, max_bytes: int) -> bytes:
    """Read a body and decompress it, but of a larger one only ``max_bytes + 1`` bytes.

    Raises:
        httpx.DecodingError: If it is damaged, or has an encoding that was not requested.
        httpx.HTTPError: If it does not arrive whole.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    chunks = cast(AsyncIterator[bytes], response.stream)  # a client's responses are async
    content = bytearray()
    if encoding in {"identity", ""}:
        async for chunk in chunks:
            content += chunk[: max_bytes + 1 - len(content)]
            if len(content) > max_bytes:
                break
        return bytes(content)
    if encoding not in _ENCODINGS:
        raise httpx.DecodingError(f"the response has the content encoding {encoding!r:.40}")
    decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        async for chunk in chunks:
            content += decompressor.decompress(chunk, max_bytes + 1 - len(content))
            if decompressor.eof or len(content) > max_bytes:  # bytes after the end would pile up
                break
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from None
    return bytes(content)
