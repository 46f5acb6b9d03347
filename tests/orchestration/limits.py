"""Serve global concurrency limits as a Prefect server does, with the faults that a test needs."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from prefect.settings import PREFECT_API_URL, temporary_settings

Answer = tuple[int, bytes]
PAGE: Answer = 200, b"<html>Sign in</html>"
NO_CONTENT: Answer = 204, b""


def answered(status: int, content: object) -> Answer:
    return status, json.dumps(content).encode()


class Limits:
    """The state of the server's limits, whose answers a test can replace.

    Attributes:
        sizes: By name.
        taken: By name.
        leases: Name and slots of each known lease.
        before: Called with the path of each request.
        instead: The answers to requests whose path contains a text, if they are not the usual ones.
    """

    def __init__(self) -> None:
        self.sizes = {"studio": 2}
        self.taken = {"studio": 0}
        self.leases: dict[str, tuple[str, int]] = {}
        self.instead: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.before: Callable[[str], object] = lambda _: None
        self._lock = threading.Lock()

    def answer(self, path: str, body: dict[str, Any]) -> Answer:
        """Answer one request."""
        with self._lock:
            self.requests.append(path)
            self.before(path)
            for part, instead in self.instead.items():
                if part in path:
                    return instead
            return self._usual(path.removeprefix("/api/v2/concurrency_limits/"), body)

    def _usual(self, path: str, body: dict[str, Any]) -> Answer:  # noqa: PLR0911 -- one for each route
        match path.split("/"):
            case ["increment-with-lease"]:
                return self._lease(body)
            case ["leases", lease, "renew"]:
                return NO_CONTENT if lease in self.leases else answered(410, {"detail": "gone"})
            case ["decrement-with-lease"]:
                name, slots = self.leases.pop(str(body["lease_id"]), ("", 0))
                self._free(name, slots)
                return NO_CONTENT
            case ["decrement"]:
                self._free(body["names"][0], body["slots"])
                return answered(200, [])
            case [""] if body["name"] in self.sizes:
                return answered(409, {"detail": "exists"})
            case [""]:
                self.create(body["name"], size=body["limit"])
                return answered(201, {"id": str(uuid4())})
            case [name] if name in self.sizes:
                limit = {"name": name, "limit": self.sizes[name], "active_slots": self.taken[name]}
                more = {"id": str(uuid4()), "active": True, "slot_decay_per_second": 0.0}
                times = {"created": "2026-11-01T00:00:00Z", "updated": "2026-11-01T00:00:00Z"}
                return answered(200, {**limit, **more, **times})
        return answered(404, {"detail": "not found"})

    def _lease(self, body: dict[str, Any]) -> Answer:
        (name,), slots, lease = body["names"], body["slots"], str(uuid4())
        if name not in self.sizes:
            return answered(200, {"lease_id": lease, "limits": []})
        if self.taken[name] + slots > self.sizes[name]:
            return answered(423, {"detail": "locked"})
        self.taken[name] += slots
        self.leases[lease] = name, slots
        limit = {"id": str(uuid4()), "name": name, "limit": self.sizes[name]}
        return answered(200, {"lease_id": lease, "limits": [limit]})

    def _free(self, name: str, slots: int) -> None:
        if name in self.taken:
            self.taken[name] = max(0, self.taken[name] - slots)

    def create(self, name: str, *, size: int) -> None:
        """Create a limit."""
        self.sizes[name], self.taken[name] = size, 0

    def delete(self, name: str) -> None:
        """Delete a limit; the server keeps its leases."""
        with self._lock:
            del self.sizes[name], self.taken[name]


def _handler(limits: Limits) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, content = limits.answer(self.path, json.loads(self.rfile.read(length) or b"{}"))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815 -- names of the standard library

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler


@contextmanager
def served() -> Iterator[Limits]:
    """Serve limits, one of them with two slots and the name studio."""
    limits = Limits()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(limits))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api"}):
        yield limits
    server.shutdown()
    thread.join()
    server.server_close()
