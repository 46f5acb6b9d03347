"""Responses that are changed while they are sent."""

import asyncio
from collections.abc import Callable
from random import Random

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prefect_seedance.sandbox.connection import close_connection

_CHUNKS_PER_SECOND = 10
"""Chunks per second of a slow transfer."""

_FREE_BOX = b"\0\0\0\0free"
"""A box that extends to the end of the file and that players skip.
Source: ISO/IEC 14496-12, size 0 and type `free`."""

_CHUNK = bytes(1 << 16)


class Truncated:
    """A response that sends and declares other lengths than its own."""

    def __init__(
        self, response: ASGIApp, *, sent: Callable[[int], int], declared: Callable[[int], int]
    ) -> None:
        self._response = response
        self._sent = sent
        self._declared = declared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the chosen length, and close the connection if more was declared."""
        left = missing = 0
        ended = False

        async def clipped(message: Message) -> None:
            nonlocal left, missing, ended
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                length = int(headers["content-length"])
                declared = max(0, self._declared(length))
                left = min(declared, self._sent(length)) if scope["method"] != "HEAD" else 0
                missing = declared - left if scope["method"] != "HEAD" else 0
                headers["content-length"] = str(declared)
                await send(message)
            elif not ended:
                body = message["body"][:left]
                left -= len(body)
                ended = left == 0 or not message.get("more_body", False)
                await send({**message, "body": body, "more_body": not ended or missing > 0})

        await self._response(scope, receive, clipped)
        if missing:
            await close_connection(scope, receive)


class Flipped:
    """A response with some bits inverted."""

    def __init__(self, response: ASGIApp, *, count: int, chance: Random) -> None:
        self._response = response
        self._count = count
        self._chance = chance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the damaged response."""
        flips: dict[int, int] = {}
        position = 0

        async def flipped(message: Message) -> None:
            nonlocal position
            if message["type"] == "http.response.start":
                length = int(MutableHeaders(raw=message["headers"])["content-length"])
                places = self._chance.sample(range(length), min(self._count, length))
                flips.update({place: 1 << self._chance.randrange(8) for place in places})
            else:
                body = bytearray(message["body"])
                for place in flips.keys() & range(position, position + len(body)):
                    body[place - position] ^= flips[place]
                position += len(body)
                message = {**message, "body": bytes(body)}
            await send(message)

        await self._response(scope, receive, flipped)


class Dripping:
    """A response that is sent slowly."""

    def __init__(self, response: ASGIApp, *, bytes_per_second: int) -> None:
        self._response = response
        self._chunk_bytes = bytes_per_second // _CHUNKS_PER_SECOND

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response in small chunks."""

        async def drip(message: Message) -> None:
            body = message.get("body", b"")
            while len(body) > self._chunk_bytes:
                await send({**message, "body": body[: self._chunk_bytes], "more_body": True})
                await asyncio.sleep(1 / _CHUNKS_PER_SECOND)
                body = body[self._chunk_bytes :]
            await send(message if message["type"] == "http.response.start" else {**message, "body": body})

        await self._response(scope, receive, drip)


class Padded:
    """An MP4 followed by padding that players skip."""

    def __init__(self, response: ASGIApp, *, padding_bytes: int) -> None:
        self._response = response
        self._padding_bytes = padding_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response and its padding."""

        async def padded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                headers["content-length"] = str(int(headers["content-length"]) + self._padding_bytes)
                await send(message)
                return
            await send({**message, "more_body": True})
            if not message.get("more_body", False):
                await self._pad(send)

        await self._response(scope, receive, padded)

    async def _pad(self, send: Send) -> None:
        padding, left = _FREE_BOX, self._padding_bytes
        while left:
            piece = padding[:left]
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            padding = _CHUNK


class Rangeless:
    """A response from a host that does not support range requests."""

    def __init__(self, response: ASGIApp) -> None:
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the whole file."""

        async def rangeless(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(raw=message["headers"])["accept-ranges"]
            await send(message)

        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await self._response({**scope, "headers": headers}, receive, rangeless)
