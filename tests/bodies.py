"""A response body that is sent in parts."""

import asyncio
from collections.abc import AsyncIterator

import httpx


class Body(httpx.AsyncByteStream):
    """Sends chunks with a pause after each, and counts the chunks sent."""

    def __init__(self, *chunks: bytes, pause_seconds: float = 0, error: Exception | None = None) -> None:
        self.chunks = chunks
        self.pause_seconds = pause_seconds
        self.error = error
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.sent += 1
            yield chunk
            await asyncio.sleep(self.pause_seconds)
        if self.error:
            raise self.error
