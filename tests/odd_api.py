"""A stand-in for the API and its file host whose answers a test scripts, served by a thread."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        upto: How many bytes of the body to send before the connection breaks; None for all.
        accepts: Whether a submission starts a generation, although its answer may not say so.
    """

    status: int = 200
    body: bytes = b""
    headers: Headers = field(default_factory=dict)
    upto: int | None = None
    accepts: bool = False


def _result(url: str) -> object:
    return json.dumps({"resultUrls": [url]})


@dataclass
class OddApi:
    """What the stand-in answers, and what it has received.

    Attributes:
        submit: Returns the answer to a submission by its ordinal, from 1; None accepts it.
        read: The answer to requests that cost nothing; None for a success.
        result: Returns the ``resultJson`` for the URL of the video.
        file: Returns the answer to a request of the video by its ordinal and headers.
        posts: Bodies of the submissions.
        paid: Ids of the generations.
    """

    submit: Callable[[int], Reply | None] = lambda _: None
    read: Reply | None = None
    result: Callable[[str], object] = _result
    file: Callable[[int, Headers], Reply] = lambda *_: Reply(404)
    url: str = ""
    posts: list[bytes] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)
    downloads: list[Headers] = field(default_factory=list)

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> Reply:
        """Answer a request."""
        if method == "POST":
            return self._accept(body)
        if path.startswith("/files/"):
            self.downloads.append(headers)
            return self.file(len(self.downloads), headers)
        if self.read:
            return self.read
        task = path.partition("taskId=")[2]
        result = self.result(f"{self.url}/files/{task}.mp4")
        return _success({"taskId": task, "state": "success", "resultJson": result})

    def _accept(self, body: bytes) -> Reply:
        self.posts.append(body)
        reply = self.submit(len(self.posts))
        if reply is None or reply.accepts:
            self.paid.append(f"task_{len(self.posts)}")
        return reply or _success({"taskId": self.paid[-1]})


def _success(data: Mapping[str, object]) -> Reply:
    return Reply(body=json.dumps({"code": 200, "message": "success", "data": data}).encode())


@contextlib.contextmanager
def serving(api: OddApi) -> Iterator[OddApi]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def do_POST(self) -> None:
            """Answer."""
            self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        def do_GET(self) -> None:
            """Answer."""
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            reply = api.answer(self.command, self.path, dict(self.headers), body)
            if reply.upto is None or reply.upto:
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body[: reply.upto])
            self.close_connection = reply.upto is not None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
