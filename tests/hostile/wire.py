"""A raw HTTP server on loopback that answers as no honest server does, and a listener that counts callers."""

import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

Reply = Callable[[socket.socket], None]
"""Sends a response, honest or not, to one request."""

SECRET: Final = b"FOREIGN-BYTES"
"""Part of everything that a run must neither print nor store."""

SIGNATURE: Final = "signature-of-a-link"
"""Part of links, which only the ledger's records may repeat."""

_DRIP_SECONDS: Final = 0.2
_BLOCK: Final = bytes(64 * 1024)
_BOMB_BYTES: Final = 1_100_000_000


@dataclass
class Web:
    """Answers by the first two parts of a path: ``/CASE/KIND``, where the API's endpoints are kinds.

    Attributes:
        cases: The replies of each case by kind: submit, status, and any name of a file.
        requests: The first line of each request.
    """

    port: int = 0
    cases: dict[str, Mapping[str, Reply]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def url(self, case: str, kind: str = "") -> str:
        """Return the base URL of a case, or the URL of one of its files."""
        return f"http://127.0.0.1:{self.port}/{case}{f'/{kind}' if kind else ''}"

    def reply(self, line: str) -> Reply:
        """Return the reply to a request by its first line."""
        self.requests.append(line)
        _, case, kind, *_ = [*line.split()[1].partition("?")[0].split("/"), "", ""]
        if "generateTask" in line or "statusTask" in line:
            kind = "submit" if "generateTask" in line else "status"
        return self.cases.get(case, {}).get(kind, response(404, b""))


@contextmanager
def serving(handle: Callable[[socket.socket], None], *, host: str = "127.0.0.1") -> Iterator[int]:
    """Handle each connection in a thread, and yield the port."""
    with socket.create_server((host, 0), backlog=128) as listener:

        def accept() -> None:
            with suppress(OSError):  # closed at the end
                while True:
                    threading.Thread(target=_served, args=(listener.accept()[0], handle), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def _served(connection: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with connection, suppress(OSError):  # the client leaves as it should
        connection.settimeout(60)
        handle(connection)


def read_request(connection: socket.socket) -> str:
    """Read a request with its body, and return its first line."""
    head = b""
    while b"\r\n\r\n" not in head and (part := connection.recv(65536)):
        head += part
    text, _, body = head.partition(b"\r\n\r\n")
    lengths = [line for line in text.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
    while missing > 0 and (part := connection.recv(65536)):
        missing -= len(part)
    return text.split(b"\r\n", maxsplit=1)[0].decode()


def head(status: int = 200, **headers: object) -> bytes:
    """Return the head of a response; underscores in names are hyphens."""
    lines = [
        f"HTTP/1.1 {status} X",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def response(status: int, body: bytes, **headers: object) -> Reply:
    """Send a response."""
    return raw(head(status, Content_Length=len(body), **headers) + body)


def raw(content: bytes) -> Reply:
    """Send bytes."""
    return lambda connection: connection.sendall(content)


def answer(**data: object) -> Reply:
    """Send a successful answer of the API."""
    return response(200, json.dumps({"code": 200, "message": "success", "data": data}).encode())


def success(*urls: str) -> Reply:
    """Send the status of a generation that succeeded."""
    return answer(taskId="task_1", state="success", resultJson=json.dumps({"resultUrls": urls}))


def endless(start: bytes, block: bytes = _BLOCK) -> Reply:
    """Send a block again and again, until the client leaves."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(block)

    return reply


def dripping(start: bytes, block: bytes = b" ") -> Reply:
    """Send a little now and then, until the client leaves."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(block)
            threading.Event().wait(_DRIP_SECONDS)

    return reply


def redirect(url: str, body: bytes = b"") -> Reply:
    """Redirect to a URL."""
    return response(302, body, Location=url)


def bomb(*, wbits: int) -> bytes:
    """Return 1 MB that decompresses to 1.1 GB."""
    compressor = zlib.compressobj(9, wbits=wbits)
    block = bytes(10_000_000)
    parts = [compressor.compress(block) for _ in range(_BOMB_BYTES // len(block))]
    return b"".join([*parts, compressor.flush()])


@dataclass
class Forbidden:
    """A server at every address of this machine that no run may read from, such as a studio's own.

    Attributes:
        callers: One entry for each connection.
    """

    port: int = 0
    callers: list[str] = field(default_factory=list)

    def handle(self, connection: socket.socket) -> None:
        """Count a caller, and send something that is not for it."""
        self.callers.append(str(connection.getsockname()))
        read_request(connection)
        response(200, b"<html>" + SECRET)(connection)
