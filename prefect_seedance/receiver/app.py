"""The receiver as an ASGI application, which trusts no callback and responds once a hint is stored."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from prefect_seedance.api.callback_urls import AttemptRef, Secrets
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.clips.ledger import Ledger, or_unreadable
from prefect_seedance.clips.records import Attempt
from prefect_seedance.errors import ArchiveError, UnreadableRecordError
from prefect_seedance.printable import get_logger
from prefect_seedance.receiver.callback_body import MAX_BODY_BYTES, find_generation_id
from prefect_seedance.receiver.hints import Hints
from prefect_seedance.receiver.recorder import OnOutcome, OutcomeRecorder, is_declared_lost
from prefect_seedance.storage.store import Store

_log = get_logger(__name__)

_BODY_SECONDS = 10.0
_RECORDING_SECONDS = 20.0
"""The API waits 30 s for a response, and then delivers again.
Source: the provider's public pages, read 2026-11."""

_READY_SECONDS = 5.0
_READY_VALID_SECONDS = 10.0
"""How long a check of the archive counts: anyone may request one, and each writes an object."""

_WARN_EVERY_SECONDS = 60.0

_READY_KEY = "probes/ready"


class Receiver:
    """Receives callbacks for one archive and one account. Use as an async context manager.

    Args:
        store: The archive.
        client: The account that pays; opened and closed with the receiver.
        secrets: Sign and verify callback URLs.
        on_outcome: Called with every attempt whose outcome is recorded.
    """

    def __init__(
        self,
        store: Store,
        *,
        client: SeedanceClient,
        secrets: Secrets,
        on_outcome: OnOutcome = lambda _: None,
    ) -> None:
        self._store = store
        self._client = client
        self._secrets = secrets
        self._ledger = Ledger(store)
        self._hints = Hints(store)
        self._recorder = OutcomeRecorder(self._ledger, self._hints, client=client, on_outcome=on_outcome)
        self._exits = AsyncExitStack()
        self._checking = asyncio.Lock()
        self._check_again_at = 0.0
        self._quiet_until = 0.0
        self._is_ready = False

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._client)
        await self._exits.enter_async_context(self._recorder)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes, to mount in another application that opens the receiver."""
        return [
            Route("/callbacks/{token:path}", self.callback, methods=["POST", "HEAD"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/ready", self.ready, methods=["GET"]),
        ]

    async def callback(self, request: Request) -> Response:
        """Store a hint, then respond; without a valid token the response is 404 and nothing else happens.

        Only a body with an id is acknowledged, because another delivery may have one. HEAD has no effect.
        """
        ref = self._secrets.verify(request.path_params["token"].rstrip("/"))
        if ref is None:
            return Response(status_code=404)
        if request.method == "HEAD":
            return Response()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                generation_id = await _generation_id(request)
        except (TimeoutError, ClientDisconnect):
            return Response(status_code=408)
        if not generation_id and self._may_warn():
            _log.warning(
                "A callback has no generation's id that can be read (Content-Type %s, Content-Encoding %s); "
                "it is answered with 503, so that it is delivered again",
                *(request.headers.get(name, "none") for name in ("Content-Type", "Content-Encoding")),
            )
        return Response(status_code=await self._receive(ref, generation_id))

    def _may_warn(self) -> bool:
        """Return whether a minute has passed since the last warning, so that many posts fill no log."""
        now = asyncio.get_running_loop().time()
        if now < self._quiet_until:
            return False
        self._quiet_until = now + _WARN_EVERY_SECONDS
        return True

    async def _receive(self, ref: AttemptRef, generation_id: str | None) -> int:
        """Follow a callback, after storing it if it has an id, and return the status of the response."""
        understood = 200 if generation_id else 503
        if self._recorder.poll_again(ref):
            return understood
        try:
            async with asyncio.timeout(_RECORDING_SECONDS):
                attempt = await or_unreadable(self._ledger.attempt, *ref)
                if attempt and generation_id and not _is_finished(attempt):
                    await self._hints.record(ref, generation_id)
        except (TimeoutError, ArchiveError):
            return 503
        if attempt is None:
            return 404
        if not isinstance(attempt, Attempt):
            _log.error("A callback is not followed before the next start: %s", attempt)
        elif generation_id or attempt.acceptance:
            self._recorder.follow(attempt)
        return understood

    async def health(self, _: Request) -> Response:
        """Respond as long as the process runs."""
        return PlainTextResponse("alive\n")

    async def ready(self, _: Request) -> Response:
        """Respond with 200 if the archive can be written, so that hints can be stored; otherwise with 503."""
        async with self._checking:
            now = asyncio.get_running_loop().time()
            if now >= self._check_again_at:
                self._is_ready = await self._can_write()
                self._check_again_at = now + _READY_VALID_SECONDS
        if not self._is_ready:
            return PlainTextResponse("the archive cannot be written\n", status_code=503)
        return PlainTextResponse("ready\n")

    async def _can_write(self) -> bool:
        """Write the same small object each time, so that a bucket without deletions does not grow."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._store.put(_READY_KEY, b"")
        except (TimeoutError, ArchiveError):
            return False
        return True


def create_app(receiver: Receiver) -> Starlette:
    """Return an application that opens the receiver at startup and closes it at shutdown."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with receiver:
            yield

    app = Starlette(routes=list(receiver.routes()), lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would repeat the token, perhaps without encryption
    return app


def _is_finished(attempt: Attempt | UnreadableRecordError) -> bool:
    """Return whether the recorded outcome needs no callback."""
    return isinstance(attempt, Attempt) and attempt.outcome is not None and not is_declared_lost(attempt)


async def _generation_id(request: Request) -> str | None:
    """Read the body, and return the id in it; None if it has none, or is too long for a callback."""
    body, headers = bytearray(), request.headers
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return find_generation_id(
        bytes(body),
        content_type=headers.get("Content-Type", ""),
        content_encoding=headers.get("Content-Encoding", ""),
    )
