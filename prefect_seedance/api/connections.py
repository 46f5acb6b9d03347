"""Connections for paid requests: a check precedes each write, and nothing comes between the two."""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

from prefect_seedance.api.happy_eyeballs import connect
from prefect_seedance.api.patience import patience

_EXTRA: Final = {"server_addr": "peername", "client_addr": "sockname"}
"""asyncio's name of each fact whose name differs."""


def checked(transport: httpx.AsyncHTTPTransport, check: Callable[[], object]) -> httpx.AsyncHTTPTransport:
    """Let a check precede each write of a transport, also to its proxy.

    Args:
        transport: It has no connection yet.
        check: Raises an exception if nothing may be sent any more.
    """
    transport._pool._network_backend = CheckedBackend(check)  # noqa: SLF001 -- httpx passes on no backend
    return transport


class CheckedTransport(httpx.AsyncBaseTransport):
    """Lets a check precede each request of a transport whose writes are its own.

    Args:
        check: Raises an exception if nothing may be sent any more.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, check: Callable[[], object]) -> None:
        self._transport = transport
        self._check = check

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Check, and send the request."""
        self._check()
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections on which a check precedes each write.

    The backend of httpcore lets other tasks run between a call and its write, which may take many
    milliseconds. If a process is suspended there, it writes when it continues, hours later.

    Args:
        check: Raises an exception if nothing may be sent any more.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that answers."""
        with _translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                connection = await connect(host, port, local_address=local_address)
                reader, writer = await asyncio.open_connection(sock=connection)
        for option in socket_options or ():
            writer.get_extra_info("socket").setsockopt(*option)
        return _CheckedStream(reader, writer, self._check)

    async def sleep(self, seconds: float) -> None:
        """Wait, between the attempts to connect."""
        await asyncio.sleep(seconds)


class _CheckedStream(httpcore.AsyncNetworkStream):
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, check: Callable[[], object]
    ) -> None:
        self._reader, self._writer, self._check = reader, writer, check

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 -- as above
        with _translated(httpcore.ReadTimeout, httpcore.ReadError):
            async with patience(timeout):
                return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- as above
        if not buffer:
            return
        with _translated(httpcore.WriteTimeout, httpcore.WriteError):
            self._check()
            self._writer.write(buffer)  # encrypts and sends at once: a request fits into the socket's buffer
            async with patience(timeout):
                await self._writer.drain()

    async def aclose(self) -> None:
        # To close would wait for a server to end TLS. After a failed handshake, nothing reports the end.
        self._writer.transport.abort()
        await asyncio.sleep(0)  # the event loop closes the socket in its next turn

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- as above
    ) -> httpcore.AsyncNetworkStream:
        try:
            with _translated(httpcore.ConnectTimeout, httpcore.ConnectError):
                async with asyncio.timeout(timeout):
                    await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except BaseException:
            await self.aclose()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 -- httpcore's own signature
        if info == "is_readable":
            return self._reader.at_eof()
        return self._writer.get_extra_info(_EXTRA.get(info, info))


@contextmanager
def _translated(expired: type[Exception], failed: type[Exception]) -> Iterator[None]:
    """Translate errors of asyncio into those of httpcore."""
    try:
        yield
    except TimeoutError as error:
        raise expired(str(error)) from error
    except OSError as error:
        raise failed(str(error)) from error
