"""Serve the receiver as a process of its own, which whoever reaches it cannot keep busy."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

_HEADERS_SECONDS = 10.0
"""For the headers of a request to come whole: uvicorn itself would wait for ever."""

_CONNECTIONS = 1000
"""More are told to come again, which the API does."""

_LAST_SECONDS = 5
"""For answers under way when it shall end; callbacks that get none are delivered again."""


class _Impatient(H11Protocol):
    """Uvicorn's HTTP protocol, which hangs up on who is connected and asks nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Begin to count the time."""
        super().connection_made(transport)
        self.loop.call_later(_HEADERS_SECONDS, self._hang_up_unless_asked, None)

    def _hang_up_unless_asked(self, last: RequestResponseCycle | None) -> None:
        """Close the connection if nothing is answered, and nothing was asked since the last request."""
        if self.transport.is_closing():
            return
        if self.cycle is last and (last is None or last.response_complete):
            self.transport.abort()
        else:
            self.loop.call_later(_HEADERS_SECONDS, self._hang_up_unless_asked, self.cycle)


def serve(app: ASGIApp, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call it from the main thread.

    Nothing that is asked is logged, for addresses are secrets here.

    Args:
        app: What to serve.
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        ready: Is told the address as soon as requests are answered.

    Raises:
        OSError: If the address is taken or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024) as listener:
        config = uvicorn.Config(
            app,
            http=_Impatient,
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_LAST_SECONDS,
        )
        shown = f"[{host}]" if family is socket.AF_INET6 else host
        server = _Server(config, ready=lambda: ready(f"http://{shown}:{listener.getsockname()[1]}"))
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
    """Make signals stop the server, and no more: uvicorn raises them again, before all is tidied up."""

    def stop(*_: object) -> None:
        server.should_exit = True

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
