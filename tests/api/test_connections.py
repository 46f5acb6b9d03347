"""Connections with a check before each write, beside httpx's own, against real sockets."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from werkzeug.serving import make_ssl_devcert

from prefect_seedance.api import connections
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.connections import checked
from prefect_seedance.api.happy_eyeballs import connect
from prefect_seedance.api.permit import Permit
from prefect_seedance.errors import ConnectionFailedError, NoAnswerError, NotSentError
from tests.api.test_client import ACCEPTED, KEY, REQUEST

Serve = Callable[[socket.socket], object]

_BODY = b"x" * 300_000
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """Serve each connection on loopback in a thread, and yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def request_in(connection: socket.socket) -> bytes:
    """Read a request to its end."""
    received = connection.recv(65536)
    while not received.endswith(b"waves"):
        received += connection.recv(65536)
    return received


def answers(content: bytes) -> Serve:
    """Answer a request."""

    def serve(connection: socket.socket) -> None:
        request_in(connection)
        connection.sendall(content)

    return serve


def resets(connection: socket.socket) -> None:
    """Reset a connection after its request."""
    request_in(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def is_silent(connection: socket.socket) -> None:
    """Answer nothing, until the client gives up."""
    request_in(connection)
    connection.recv(1)


@pytest.fixture(params=["own", "checked"])
def transport(request: pytest.FixtureRequest) -> httpx.AsyncHTTPTransport:
    """Return a transport of httpx, and one whose writes are checked."""
    plain = httpx.AsyncHTTPTransport()
    return plain if request.param == "own" else checked(plain, lambda: None)


def post(url: str, transport: httpx.AsyncBaseTransport, **seconds: float) -> httpx.Response:
    """Send a request on a loop of its own, whose time is real; each of httpx's timeouts may be shorter."""

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(30, **seconds)) as http:
            return await http.post(url, content=b"waves")

    return asyncio.run(send())


@pytest.mark.parametrize(("answer", "content"), [(_ANSWER, _BODY), (_CHUNKED, b"ok")], ids=["long", "chunks"])
def test_reads_answers(transport: httpx.AsyncHTTPTransport, answer: bytes, content: bytes) -> None:
    """An answer arrives whole."""
    with serving(answers(answer)) as port:
        response = post(f"http://127.0.0.1:{port}", transport)

    assert response.content == content


@pytest.mark.parametrize(
    ("serve", "error"),
    [
        (answers(_ANSWER[:-1]), httpx.RemoteProtocolError),
        (answers(b""), httpx.RemoteProtocolError),
        (resets, httpx.ReadError),
    ],
    ids=["incomplete", "no answer", "reset"],
)
def test_failures_have_httpx_names(
    transport: httpx.AsyncHTTPTransport, serve: Serve, error: type[Exception]
) -> None:
    """A failure after the connection is the same error as with httpx's own connections."""
    with serving(serve) as port, pytest.raises(error):
        post(f"http://127.0.0.1:{port}", transport)


def test_silence_has_httpx_name(transport: httpx.AsyncHTTPTransport) -> None:
    """An answer that does not come is the same error as with httpx's own connections."""
    with serving(is_silent) as port, pytest.raises(httpx.ReadTimeout):
        post(f"http://127.0.0.1:{port}", transport, read=0.5)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://name.invalid"], ids=["port", "name"])
def test_failed_connection_has_httpx_name(transport: httpx.AsyncHTTPTransport, url: str) -> None:
    """A failure to connect is the same error as with httpx's own connections."""
    with pytest.raises(httpx.ConnectError):
        post(url, transport)


@pytest.fixture
def identity(tmp_path: Path) -> tuple[str, str]:
    """Return the files of a certificate for localhost, and of its key."""
    return make_ssl_devcert(str(tmp_path / "tls"), host="localhost")


@pytest.fixture(params=["own", "checked"])
def trusting(request: pytest.FixtureRequest, identity: tuple[str, str]) -> httpx.AsyncHTTPTransport:
    """Return both kinds of transports, which trust the certificate."""
    plain = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=identity[0]))
    return plain if request.param == "own" else checked(plain, lambda: None)


def server_context(identity: tuple[str, str]) -> ssl.SSLContext:
    """Return the side of TLS that has the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
    return context


def over_tls(serve: Serve, identity: tuple[str, str]) -> Serve:
    """Serve a connection with TLS."""

    def secured(connection: socket.socket) -> None:
        try:
            with server_context(identity).wrap_socket(connection, server_side=True) as encrypted:
                serve(encrypted)
        except OSError:
            return

    return secured


def test_reads_answers_over_tls(trusting: httpx.AsyncHTTPTransport, identity: tuple[str, str]) -> None:
    """An answer over TLS arrives whole."""
    with serving(over_tls(answers(_ANSWER), identity)) as port:
        response = post(f"https://localhost:{port}", trusting)

    assert response.content == _BODY


def test_unknown_certificate_is_refused(
    transport: httpx.AsyncHTTPTransport, identity: tuple[str, str]
) -> None:
    """A certificate that nobody signed ends the connection before the request."""
    with (
        serving(over_tls(answers(_ANSWER), identity)) as port,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        post(f"https://localhost:{port}", transport)


def test_silent_handshake_sends_nothing(transport: httpx.AsyncHTTPTransport) -> None:
    """A server that never answers to TLS is one that cannot be reached: nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(httpx.ConnectTimeout):
        post(f"https://localhost:{silent.getsockname()[1]}", transport, connect=0.5)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_is_checked_too(identity: tuple[str, str], scheme: str) -> None:
    """A request reaches an API with TLS through a proxy, and a check precedes each write to either."""
    context = ssl.create_default_context(cafile=identity[0])
    checks: list[None] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"CONNECT localhost:443 ")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.start_tls(server_context(identity))
        await reader.readuntil(b"waves")
        writer.write(_CHUNKED)
        writer.close()

    async def post_through_proxy() -> httpx.Response:
        tls = server_context(identity) if scheme == "https" else None
        async with await asyncio.start_server(tunnel, "127.0.0.1", 0, ssl=tls) as proxy:
            url = f"{scheme}://localhost:{proxy.sockets[0].getsockname()[1]}"
            proxied = httpx.Proxy(url, ssl_context=context if tls else None)
            plain = httpx.AsyncHTTPTransport(proxy=proxied, verify=context)
            async with httpx.AsyncClient(transport=checked(plain, lambda: checks.append(None))) as http:
                return await http.post("https://localhost", content=b"waves")

    assert asyncio.run(post_through_proxy()).content == b"ok"
    assert len(checks) == len(("CONNECT", "head", "body"))


def test_nothing_comes_between() -> None:
    """Bytes leave in the moment of their check: no other task has a turn in between."""
    sent: list[int] = []
    turns: list[int] = []

    def check() -> None:
        sent.append(len(received()))
        asyncio.get_running_loop().call_soon(lambda: turns.append(len(received())))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        connections: list[socket.socket] = []

        def received() -> bytes:
            if not connections:
                connections.append(listening.accept()[0])
            connections[0].settimeout(0)
            try:
                return connections[0].recv(65536, socket.MSG_PEEK)
            except BlockingIOError:
                return b""

        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(httpx.ReadTimeout):
            post(url, checked(httpx.AsyncHTTPTransport(), check), read=1)
        request = received()
        connections[0].close()

    assert sent == [0, len(request) - len(b"waves")]
    assert turns == [len(request)] * 2


_ACCEPTANCE = b"HTTP/1.1 200 OK\r\n\r\n" + ACCEPTED().content


def has_submission(connection: socket.socket, received: list[bytes]) -> bool:
    """Add what is received until a submission is complete; return False if the connection ends before."""
    while more := connection.recv(65536):
        received.append(more)
        if b"\r\n\r\n{" in b"".join(received):
            return True
    return False


async def submit(port: int, permit: Permit, *, timeout_seconds: float = 60) -> str:
    """Submit to a server on loopback."""
    url = f"http://127.0.0.1:{port}"
    async with SeedanceClient(KEY, base_url=url, timeout_seconds=timeout_seconds) as seedance:
        return await seedance.submit(REQUEST, permit=permit)


@pytest.fixture
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTTP_PROXY", raising=False)


class Ending(Permit):
    """A permit that ends once the head of the request has left."""

    def begin(self) -> None:
        """Permit bytes, for the last time."""
        super().begin()
        self.revoke()


@pytest.mark.usefixtures("_no_proxy")
def test_stopped_amid_request_starts_nothing() -> None:
    """A process that is suspended between head and body does not complete the request when it continues."""
    received: list[bytes] = []
    is_over = threading.Event()

    def serve(connection: socket.socket) -> None:
        if has_submission(connection, received):
            connection.sendall(_ACCEPTANCE)
        is_over.set()

    async def stop(port: int) -> Permit:
        permit = Ending.lasting(60)
        with pytest.raises(NotSentError, match="Nothing was sent"):
            await submit(port, permit)
        return permit

    with serving(serve) as port:
        permit = asyncio.run(stop(port))
        assert is_over.wait(60)

    assert b"".join(received).endswith(b"\r\n\r\n")
    assert not permit.may_have_started


_SHORT_SECONDS = 1.0


@pytest.mark.usefixtures("_no_proxy")
def test_stalled_connection_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the event loop stands still while a request connects, it is known that nothing was sent."""
    received: list[bytes] = []

    async def stand_still_and_connect(host: str, port: int, *, local_address: str | None) -> socket.socket:
        asyncio.get_running_loop().call_soon(time.sleep, 2 * _SHORT_SECONDS)
        return await connect(host, port, local_address=local_address)

    async def stall(port: int) -> Permit:
        permit = Permit.lasting(_SHORT_SECONDS)
        with pytest.raises((ConnectionFailedError, NotSentError)):
            await submit(port, permit, timeout_seconds=_SHORT_SECONDS)
        return permit

    monkeypatch.setattr(connections, "connect", stand_still_and_connect)
    with serving(lambda connection: has_submission(connection, received)) as port:
        permit = asyncio.run(stall(port))

    assert received == []
    assert not permit.may_have_started


def test_unsent_request_started_nothing() -> None:
    """If the whole request's time ends before its connection's, it is known that nothing was sent."""

    async def wait(port: int) -> Permit:
        permit = Permit.lasting(2 * _SHORT_SECONDS)
        async with SeedanceClient(KEY, base_url=f"https://127.0.0.1:{port}") as seedance:
            seedance._submissions.timeout = httpx.Timeout(_SHORT_SECONDS / 2, connect=60, pool=60)
            with pytest.raises((ConnectionFailedError, NotSentError)):
                await seedance.submit(REQUEST, permit=permit)
        return permit

    with serving(lambda connection: connection.recv(65536) and connection.recv(65536)) as port:
        permit = asyncio.run(wait(port))

    assert not permit.may_have_started


@pytest.mark.parametrize("is_answered", [True, False])
@pytest.mark.usefixtures("_no_proxy")
def test_stalled_answer_is_read(*, is_answered: bool) -> None:
    """An answer that arrives while the event loop stands still is read; without one, the time is over."""
    loop: asyncio.AbstractEventLoop
    received: list[bytes] = []
    is_standing = threading.Event()

    def stand_still() -> None:
        is_standing.set()
        time.sleep(2 * _SHORT_SECONDS)

    def serve(connection: socket.socket) -> None:
        assert has_submission(connection, received)
        loop.call_soon_threadsafe(stand_still)
        is_standing.wait()
        if is_answered:
            connection.sendall(_ACCEPTANCE)
        else:
            connection.recv(65536)

    async def wait(port: int) -> str:
        nonlocal loop
        loop = asyncio.get_running_loop()
        return await submit(port, Permit.lasting(60), timeout_seconds=_SHORT_SECONDS)

    with serving(serve) as port:
        if is_answered:
            assert asyncio.run(wait(port)) == ACCEPTED().json()["data"]["taskId"]
        else:
            with pytest.raises(NoAnswerError):
                asyncio.run(wait(port))

    assert b"".join(received).count(b"POST ") == 1
