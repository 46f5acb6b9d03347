import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from prefect_seedance.receiver import server


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


APP = Starlette(routes=[Route("/", _hello)])


def served(client: Callable[[str], None], *, number: signal.Signals = signal.SIGTERM) -> None:
    """Serve in this thread, run a client in another one, then stop the server by a signal."""

    def run(url: str) -> None:
        try:
            client(url)
        finally:
            os.kill(os.getpid(), number)

    def ready(url: str) -> None:
        threading.Thread(target=run, args=(url,)).start()

    server.serve(APP, host="127.0.0.1", port=0, ready=ready)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_serves_until_signal(number: signal.Signals) -> None:
    """The server responds at the URL it reports, ends at a signal, and restores the former handlers."""
    before, texts = signal.getsignal(number), list[str]()

    served(lambda url: texts.append(httpx.get(url).text), number=number)

    assert texts == ["hello"]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"],
    ids=["silent", "unfinished headers", "idle after a response"],
)
def test_closes_idle_connection(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """A connection without a complete request is closed after the time limit."""
    monkeypatch.setattr(server, "_HEADERS_SECONDS", 0.2)
    waited: list[float] = []

    def client(url: str) -> None:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
            connection.sendall(sent)
            began = time.monotonic()
            try:
                while connection.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            waited.append(time.monotonic() - began)

    served(client)

    assert 0.1 < waited[0] < 4


def test_reports_port_in_use() -> None:
    """A port that another process uses is an error."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        server.serve(APP, host="127.0.0.1", port=other.getsockname()[1], ready=lambda _: None)
