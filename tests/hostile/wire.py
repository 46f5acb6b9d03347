"""A raw HTTP server on loopback that answers as no honest server does, and a listener that counts callers."""

import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, cast

Reply = Callable[[socket.socket], None]
"""Sends a response, honest or not, to one request."""

SECRET: Final = b"FOREIGN-BYTES"
"""Part of everything that a run must neither print nor store."""

SIGNATURE: Final = "signature-of-a-link"
"""Part of links, which only the ledger's records may repeat."""

_DRIP_SECONDS: Final = 0.2
_PAUSE_SECONDS: Final = 0.005
_BLOCK: Final = bytes(64 * 1024)
_BOMB_BYTES: Final = 1_100_000_000


@dataclass
class Web:
    """A hostile API, host of files and host of images.

    Attributes:
        cases: The replies of each case by kind: submit, status, and any name of a file. A generation is
            submitted by the prompt that is the name of its case, and has that name as its id.
        requests: The first line of each request.
    """

    port: int = 0
    cases: dict[str, Mapping[str, Reply]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def url(self, case: str, kind: str) -> str:
        """Return the URL of a file of a case."""
        return f"{self.base_url}/{case}/{kind}"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reply(self, line: str, body: bytes) -> Reply:
        """Return the reply to a request by its first line and its body."""
        self.requests.append(line)
        if not line:  # the client left before it sent a request
            return raw(b"")
        path, _, query = line.split()[1].partition("?")
        if "generateTask" in path:
            case = json.loads(body)["input"]["prompt"]
            return self.cases[case].get("submit") or answer(taskId=case)
        if "statusTask" in path:
            return self.cases[query.removeprefix("taskId=")].get("status") or response(404, b"")
        if "current-balance" in path:
            return response(200, b'{"code": 200, "message": "", "data": 74.87}')
        _, case, kind = path.split("/")
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


def read_request(connection: socket.socket) -> tuple[str, bytes]:
    """Read a request, and return its first line and its body."""
    start = b""
    while b"\r\n\r\n" not in start and (part := connection.recv(65536)):
        start += part
    if b"\r\n\r\n" not in start:
        raise ConnectionError("the client left before it sent a request")
    fields, _, body = start.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", fields)
    while length and len(body) < int(length[1]) and (part := connection.recv(65536)):
        body += part
    return fields.split(b"\r\n", maxsplit=1)[0].decode(), body


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
            time.sleep(_PAUSE_SECONDS)  # the other cases need the processor too

    return reply


def dripping(start: bytes, block: bytes = b" ") -> Reply:
    """Send a little now and then, until the client leaves."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(block)
            time.sleep(_DRIP_SECONDS)

    return reply


def redirect(url: str, body: bytes = b"") -> Reply:
    """Redirect to a URL."""
    return response(302, body, Location=url)


def changed(reply: Reply, old: bytes, new: bytes) -> Reply:
    """Send a response with a part of it replaced."""

    class Changing:
        def __init__(self, connection: socket.socket) -> None:
            self.connection = connection

        def sendall(self, content: bytes) -> None:
            self.connection.sendall(content.replace(old, new, 1))

    return lambda connection: reply(cast(socket.socket, Changing(connection)))


def bomb(*, wbits: int) -> bytes:
    """Return 1 MB that decompresses to 1.1 GB; it has no end, as no reader may come that far."""
    compressor = zlib.compressobj(9, wbits=wbits)
    block = bytes(10_000_000)
    first, again = (compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (_BOMB_BYTES // len(block) - 1)


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
