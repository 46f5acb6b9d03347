"""The receiver as an ASGI application: believes nothing, and answers once a hint is written down."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from prefect_seedance.api.callback_urls import Secrets
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.errors import ArchiveError
from prefect_seedance.receiver.hints import Hints
from prefect_seedance.receiver.reader import Announce, Reader, is_given_up
from prefect_seedance.storage.store import Store

_BODY_BYTES = 64 * 1024
"""A callback is an envelope of some hundred bytes."""

_BODY_SECONDS = 10.0
_RECORDING_SECONDS = 20.0
"""The API waits 30 s, and then delivers again. Source: the provider's public pages, read 2026-11."""

_READY_SECONDS = 5.0
_LONGEST_ID = 200


class Receiver:
    """Takes callbacks for one archive and one account. Use as an async context manager.

    Args:
        store: The archive.
        client: The account that pays; is opened and closed with the receiver.
        secrets: What callbacks' addresses are signed with.
        announce: Is told of every attempt whose outcome was recorded, at once.
    """

    def __init__(
        self, store: Store, *, client: SeedanceClient, secrets: Secrets, announce: Announce = lambda _: None
    ) -> None:
        self._store = store
        self._client = client
        self._secrets = secrets
        self._ledger = Ledger(store)
        self._hints = Hints(store)
        self._reader = Reader(self._ledger, self._hints, client=client, announce=announce)
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._client)
        await self._exits.enter_async_context(self._reader)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    def routes(self) -> Sequence[BaseRoute]:
        """Return where the endpoints are, to be mounted in another application that opens the receiver."""
        return [
            Route("/callbacks/{token}", self.callback, methods=["POST"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/ready", self.ready, methods=["GET"]),
        ]

    async def callback(self, request: Request) -> Response:
        """Write a hint down, and answer; whoever cannot know our secret learns nothing."""
        place = self._secrets.place(request.path_params["token"])
        if place is None:
            return Response(status_code=404)
        if self._reader.knows(place):
            return Response()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                generation_id = _named(await _body(request))
        except (TimeoutError, ClientDisconnect):
            return Response(status_code=408)
        try:
            async with asyncio.timeout(_RECORDING_SECONDS):
                attempt = await self._ledger.attempt(*place)
                if attempt is None:
                    return Response(status_code=404)
                if attempt.outcome is None or is_given_up(attempt):
                    await self._hints.record(attempt, generation_id)
        except (TimeoutError, ArchiveError):
            return Response(status_code=503)
        self._reader.follow(attempt)
        return Response()

    async def health(self, _: Request) -> Response:
        """Tell that we live."""
        return PlainTextResponse("alive\n")

    async def ready(self, _: Request) -> Response:
        """Tell whether callbacks can be written down."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._store.keys("probes/")
        except (TimeoutError, ArchiveError):
            return PlainTextResponse("the archive does not answer\n", status_code=503)
        return PlainTextResponse("ready\n")


def create_app(receiver: Receiver) -> Starlette:
    """Return an application of its own, which opens the receiver for as long as it is served."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with receiver:
            yield

    return Starlette(routes=list(receiver.routes()), lifespan=lifespan)


async def _body(request: Request) -> bytes:
    """Read a body; of one that is too long to be a callback's, nothing."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            return b""
    return bytes(body)


def _named(body: bytes) -> str | None:
    """Return the id that a callback names, which is all that is ever taken from it."""
    try:
        named = json.loads(body)["data"]["taskId"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    is_id = (
        isinstance(named, str) and 0 < len(named) <= _LONGEST_ID and named.isascii() and named.isprintable()
    )
    return named if is_id else None
