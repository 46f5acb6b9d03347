"""Connections that are dropped or left hanging instead of answered."""

import asyncio
import contextlib
import socket
import struct
from typing import cast

import httpx
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "sandbox.transport"

_RESET = struct.pack("ii", 1, 0)
"""Linger on, for zero seconds: closing then sends RST instead of FIN."""


class OpenProtocol(H11Protocol):
    """Uvicorn's HTTP protocol, with access to the transport for the application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Add the transport to the scope of every request, and disable Nagle's algorithm."""
        super().connection_made(transport)
        # Headers and body are separate writes; with Nagle's algorithm the body waits 40 ms for an ACK.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, _TRANSPORT: transport}


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def close_connection(scope: Scope, receive: Receive, *, reset: bool = False) -> None:
    """Close the connection, either in order after all data is sent or at once by a reset.

    Raises:
        httpx.ReadError: There is no connection, because httpx calls the application directly; the
            client gets this error instead.
    """
    transport = cast("asyncio.Transport | None", scope.get("state", {}).get(_TRANSPORT))
    if transport is None:
        raise httpx.ReadError("the sandbox dropped the connection")
    if reset:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()
    await wait_for_disconnect(receive)


class Dropped:
    """A response that closes the connection and sends nothing."""

    def __init__(self, *, reset: bool = False) -> None:
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Close the connection."""
        await close_connection(scope, receive, reset=self._reset)


class Hung:
    """A response that sends nothing and keeps the connection open."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Wait until the client disconnects or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await wait_for_disconnect(receive)
                return
        await close_connection(scope, receive)
