"""Answers that are changed on their way out."""

import asyncio
from collections.abc import Callable
from random import Random

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prefect_seedance.sandbox.connection import cut

# How often a slow transfer sends a bit.
_DROPS_PER_SECOND = 10

# A box that ends with the file and that players skip. Source: ISO/IEC 14496-12, size 0 and type `free`.
_FREE_BOX = b"\0\0\0\0free"

_CHUNK = bytes(1 << 16)


class Clipped:
    """An answer that sends and declares other lengths than its own."""

    def __init__(
        self, answer: ASGIApp, *, sent: Callable[[int], int], declared: Callable[[int], int]
    ) -> None:
        self._answer = answer
        self._sent = sent
        self._declared = declared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send as much as shall be sent, and close the connection if more was declared."""
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

        await self._answer(scope, receive, clipped)
        if missing:
            await cut(scope, receive)


class Flipped:
    """An answer some of whose bits are turned over."""

    def __init__(self, answer: ASGIApp, *, count: int, chance: Random) -> None:
        self._answer = answer
        self._count = count
        self._chance = chance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the damaged answer."""
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

        await self._answer(scope, receive, flipped)


class Dripping:
    """An answer that arrives slowly."""

    def __init__(self, answer: ASGIApp, *, bytes_per_second: int) -> None:
        self._answer = answer
        self._drop_bytes = bytes_per_second // _DROPS_PER_SECOND

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer a little at a time."""

        async def drip(message: Message) -> None:
            body = message.get("body", b"")
            while len(body) > self._drop_bytes:
                await send({**message, "body": body[: self._drop_bytes], "more_body": True})
                await asyncio.sleep(1 / _DROPS_PER_SECOND)
                body = body[self._drop_bytes :]
            await send(message if message["type"] == "http.response.start" else {**message, "body": body})

        await self._answer(scope, receive, drip)


class Padded:
    """An MP4 that goes on after its end with padding that players skip."""

    def __init__(self, answer: ASGIApp, *, padding_bytes: int) -> None:
        self._answer = answer
        self._padding_bytes = padding_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer and its padding."""

        async def padded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                headers["content-length"] = str(int(headers["content-length"]) + self._padding_bytes)
                await send(message)
                return
            await send({**message, "more_body": True})
            if not message.get("more_body", False):
                await self._pad(send)

        await self._answer(scope, receive, padded)

    async def _pad(self, send: Send) -> None:
        padding, left = _FREE_BOX, self._padding_bytes
        while left:
            piece = padding[:left]
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            padding = _CHUNK


class Rangeless:
    """An answer from a host that knows no ranges."""

    def __init__(self, answer: ASGIApp) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it."""

        async def rangeless(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(raw=message["headers"])["accept-ranges"]
            await send(message)

        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await self._answer({**scope, "headers": headers}, receive, rangeless)
