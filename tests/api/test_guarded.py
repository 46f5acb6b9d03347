"""The connection goes to the checked address, with the host's own name for HTTP and TLS."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from werkzeug.serving import make_ssl_devcert

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.guarded import GuardedClient
from prefect_seedance.errors import ForbiddenHostError, SeedanceError
from tests.conftest import SkippingLoop

LOCAL = HostPolicy(allow_loopback=True)

Names = dict[str, list[Sequence[str]]]


class Server:
    """An HTTP server on loopback that records the requests."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server(answer)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        with working():
            yield server


def working() -> contextlib.AbstractContextManager[None]:
    """Skip no time while a real connection is open."""
    loop = asyncio.get_running_loop()
    return loop.working() if isinstance(loop, SkippingLoop) else contextlib.nullcontext()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Resolve these names only: each request for a name takes its next list of addresses."""
    known: Names = {}

    async def getaddrinfo(_: object, host: str, *__: object, **___: object) -> list[tuple[object, ...]]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(SkippingLoop, "getaddrinfo", getaddrinfo)
    return known


async def get(url: str, policy: HostPolicy = LOCAL) -> str:
    async with GuardedClient(policy, timeout_seconds=5) as http, http.stream(url) as response:
        return (await response.aread()).decode()


async def test_connects_to_the_checked_address(names: Names) -> None:
    """A name is resolved once, so that it cannot lead elsewhere after the check; Host is the name."""
    names["cdn.example"] = [["127.0.0.1"], ["10.0.0.1"]]

    async with serving() as server:
        assert await get(f"http://cdn.example:{server.port}/") == "ok"

    assert f"Host: cdn.example:{server.port}".encode() in server.heads[0]
    assert names["cdn.example"] == [["10.0.0.1"]]


async def test_rebinding_is_refused(names: Names) -> None:
    """A name that leads to a private address at its second use is refused then."""
    names["cdn.example"] = [["127.0.0.1"], ["10.0.0.1"]]

    async with serving() as server:
        await get(f"http://cdn.example:{server.port}/")
        with pytest.raises(ForbiddenHostError, match=r"^cdn\.example is not a public host"):
            await get(f"http://cdn.example:{server.port}/")

    assert len(server.heads) == 1


async def test_skips_forbidden_addresses(names: Names) -> None:
    """Of a host with several addresses, only those that may be read from are used, one after another."""
    names["cdn.example"] = [["10.0.0.1", "127.0.0.9", "127.0.0.1"]]

    async with serving() as server:
        assert await get(f"http://cdn.example:{server.port}/") == "ok"


async def test_unknown_name_is_a_failed_connection(names: Names) -> None:
    """A name that cannot be resolved is an error of the connection, which may be tried again."""
    assert names == {}

    with pytest.raises(httpx.ConnectError, match="cannot be resolved"):
        await get("http://cdn.example/")


async def test_certificate_is_the_hosts(
    names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS asks for the host's own certificate, although the connection goes to an address."""
    certificate, key = make_ssl_devcert(str(tmp_path / "cdn"), host="cdn.example")
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    asked: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    names.update({"cdn.example": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]})

    async with serving(tls=tls) as server:
        assert await get(f"https://cdn.example:{server.port}/") == "ok"
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await get(f"https://other.test:{server.port}/")

    assert asked == ["cdn.example", "other.test"]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_proxy_resolves(names: Names, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """With a proxy, names are left to it, and addresses are refused before it is asked."""
    async with serving() as server:
        names["127.0.0.1"] = [["127.0.0.1"]]
        monkeypatch.setenv(variable, f"127.0.0.1:{server.port}")

        assert await get("http://cdn.example/clip.mp4", HostPolicy()) == "ok"
        for host in ("169.254.169.254", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:10.0.0.1]"):
            with pytest.raises(ForbiddenHostError):
                await get(f"http://{host}/", HostPolicy())

    assert [head.split()[1] for head in server.heads] == [b"http://cdn.example/clip.mp4"]


async def test_no_proxy_is_checked(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that the environment excludes from the proxy is resolved and checked here."""
    names["cdn.example"] = [["10.0.0.1"]]
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "cdn.example")

    with pytest.raises(ForbiddenHostError):
        await get("http://cdn.example/", HostPolicy())


async def test_proxy_is_looked_up_once(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client searches the environment once for each host, because the search is slow."""
    async with serving() as server, GuardedClient(LOCAL, timeout_seconds=5) as http:
        names["cdn.example"] = [["127.0.0.1"]]
        url = f"http://cdn.example:{server.port}/"
        async with http.stream(url):
            monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        async with http.stream(url) as response:
            assert response.is_success


SIGNATURE = "sig=signature"


async def test_logs_show_no_signature(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    """At every level of every library, signed URLs appear in no log, whether requested or redirected to."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    names["cdn.example"] = [["127.0.0.1"]]
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as last:
        location = f"Location: http://cdn.example:{last.port}/b?{SIGNATURE}"
        moved = f"HTTP/1.1 302 Found\r\n{location}\r\nContent-Length: 0\r\n\r\n"
        async with serving(moved.encode()) as first:
            await get(f"http://user:{SIGNATURE}@cdn.example:{first.port}/a?{SIGNATURE}")

    assert len(last.heads) == 1
    assert SIGNATURE not in caplog.text
    assert f"GET http://cdn.example:{first.port}/a: 302" in caplog.text


async def test_other_requests_are_logged(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    """Requests of others in the same process are logged as before."""
    caplog.set_level(logging.DEBUG)
    names["127.0.0.1"] = [["127.0.0.1"]]
    async with serving() as server:
        await get(f"http://127.0.0.1:{server.port}/guarded")
        async with httpx.AsyncClient() as http:
            await http.get(f"http://127.0.0.1:{server.port}/other")

    assert "HTTP Request: GET" in caplog.text
    assert "/other" in caplog.text


async def test_ends_after_ten_redirects(names: Names) -> None:
    """A host that redirects to itself is given up after ten redirects."""
    names["cdn.example"] = [["127.0.0.1"]]
    async with serving() as server:
        fields = f"Location: http://cdn.example:{server.port}/\r\nContent-Length: 0"
        server.answer = f"HTTP/1.1 302 X\r\n{fields}\r\n\r\n".encode()
        with pytest.raises(httpx.TooManyRedirects, match="more than 10"):
            await get(f"http://cdn.example:{server.port}/")

    assert len(server.heads) == 11


@pytest.mark.parametrize("location", ["ftp://cdn.example/a", "http://cdn.example:99999/"])
async def test_redirects_stay_http(names: Names, location: str) -> None:
    """A redirect to a URL that no request can be sent to is refused."""
    names["cdn.example"] = [["127.0.0.1"]]
    async with serving(f"HTTP/1.1 302 X\r\nLocation: {location}\r\n\r\n".encode()) as server:
        with pytest.raises(SeedanceError, match=r"not http\(s\)"):
            await get(f"http://cdn.example:{server.port}/")
