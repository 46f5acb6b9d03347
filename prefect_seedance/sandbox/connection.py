"""What happens to a connection apart from an answer: it is dropped, or kept waiting."""

import asyncio
import contextlib
import socket
import struct
from typing import cast

import httpx
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "sandbox.transport"

# On, with no time to linger: closing then sends a reset instead of an orderly end.
_RESET = struct.pack("ii", 1, 0)


class OpenProtocol(H11Protocol):
    """Uvicorn's HTTP protocol, which lets the application reach the connection below it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Put the transport into the scope of every request, and send without delay."""
        super().connection_made(transport)
        # Headers and body are written apart; without this the body waits 40 ms for the headers' receipt.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, _TRANSPORT: transport}


async def client_left(receive: Receive) -> None:
    """Wait until the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cut(scope: Scope, receive: Receive, *, reset: bool = False) -> None:
    """Close the connection: after what was written if orderly, at once if by a reset.

    Raises:
        httpx.ReadError: There is no connection, because httpx calls the application without a server; so
            this is what the client sees.
    """
    transport = cast("asyncio.Transport | None", scope.get("state", {}).get(_TRANSPORT))
    if transport is None:
        raise httpx.ReadError("the sandbox dropped the connection")
    if reset:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()
    await client_left(receive)


class Dropped:
    """An answer that never comes, because the connection is closed instead."""

    def __init__(self, *, reset: bool = False) -> None:
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Close the connection."""
        await cut(scope, receive, reset=self._reset)


class Hung:
    """An answer that never comes, while the connection stays open."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Wait until the client gives up, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await client_left(receive)
                return
        await cut(scope, receive)
