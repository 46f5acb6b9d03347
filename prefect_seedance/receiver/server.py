"""Serve the receiver as a process that idle or slow clients cannot block."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

_HEADERS_SECONDS = 10.0
"""How long a client may take to send the headers of a request; uvicorn itself has no limit."""

_MAX_CONNECTIONS = 1000
"""Connections beyond this get 503; the API delivers their callbacks again."""

_SHUTDOWN_SECONDS = 5
"""How long to finish open responses at shutdown; the API delivers callbacks without a response again."""


class _TimeoutProtocol(H11Protocol):
    """Uvicorn's HTTP protocol, with a limit on the time that a client is connected without a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Start the timer."""
        super().connection_made(transport)
        self.loop.call_later(_HEADERS_SECONDS, self._close_if_idle, None)

    def _close_if_idle(self, last: RequestResponseCycle | None) -> None:
        """Close the connection if no response is open and no request has arrived since ``last``."""
        if self.transport.is_closing():
            return
        if self.cycle is last and (last is None or last.response_complete):
            self.transport.abort()
        else:
            self.loop.call_later(_HEADERS_SECONDS, self._close_if_idle, self.cycle)


def serve(app: ASGIApp, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call it from the main thread.

    Requests are not logged, because their URLs are secrets.

    Args:
        app: What to serve.
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        ready: Called with the URL once the server accepts requests.

    Raises:
        OSError: The address is in use, or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024) as listener:
        config = uvicorn.Config(
            app,
            http=_TimeoutProtocol,
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        url_host = f"[{host}]" if family is socket.AF_INET6 else host
        server = _Server(config, ready=lambda: ready(f"http://{url_host}:{listener.getsockname()[1]}"))
        with _stopped_by_signals(server):
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Stop the server on a signal; uvicorn's own handlers would raise it again before the cleanup."""

    def stop(*_: object) -> None:
        server.should_exit = True

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
