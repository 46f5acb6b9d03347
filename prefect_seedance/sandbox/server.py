"""The HTTP server of the sandbox."""

import contextlib
import logging
import signal
import socket
from collections.abc import Iterator

import uvicorn

from prefect_seedance.sandbox.app import create_app
from prefect_seedance.sandbox.connection import OpenProtocol
from prefect_seedance.sandbox.options import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; call it from the main thread.

    Prints one line with the URL when the sandbox is ready, and nothing else.

    Raises:
        OSError: The address is in use or not available on this machine.
        ValueError: The fault plan or the file of models is invalid.
    """
    app = create_app(settings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server((settings.host, settings.port), family=family, backlog=1024) as listener:
        config = uvicorn.Config(
            app,
            http=OpenProtocol,
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            # As long as gateways keep idle connections: with less, a client may reuse a closing one.
            timeout_keep_alive=75,
            server_header=False,
            timeout_graceful_shutdown=0,
        )
        server = _Server(config, host=settings.host)
        with _stopped_by_signals(server):
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that prints its URL when ready, and closes all connections at once on shutdown."""

    def __init__(self, config: uvicorn.Config, *, host: str) -> None:
        super().__init__(config)
        self._host = f"[{host}]" if ":" in host else host

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            print(f"Sandbox API on http://{self._host}:{listener.getsockname()[1]}", flush=True)  # noqa: T201 -- callers read the port from this line

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Aborting unfinished responses is intended, so uvicorn must not log it as an error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


@contextlib.contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Stop the server on SIGINT or SIGTERM without ending the process.

    Uvicorn raises the signal again after it has stopped, which would end the process before cleanup.
    """

    def stop(*_: object) -> None:
        server.should_exit = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
