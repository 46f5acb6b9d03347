"""A host of images that answers the API, and later sends only a byte now and then."""

import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import Popen

from tests.processes import Sandbox

Start = Callable[..., Popen[str]]

_WAIT_SECONDS = 60.0
_DRIP_SECONDS = 0.1


@contextmanager
def dripping(image: bytes, *, until: Path) -> Iterator[tuple[str, threading.Event]]:
    """Serve an image once, and afterwards drip until a file exists or the client leaves.

    Yields:
        The image's URL, and whether the file existed while the client still waited.
    """
    was_served, came_first = threading.Event(), threading.Event()

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(image)))
            self.end_headers()
            if not was_served.is_set():
                was_served.set()
                self.wfile.write(image)
                return
            exists = False
            while not (exists or _has_left(self.connection)):
                self.wfile.write(b"\0")
                threading.Event().wait(_DRIP_SECONDS)
                exists = until.exists()  # looked at before the client, which would leave before it
            if not _has_left(self.connection):
                came_first.set()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as the base class names it
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/dawn.png", came_first
        server.shutdown()


def _has_left(client: socket.socket) -> bool:
    readable, _, _ = select.select([client], [], [], 0)
    return bool(readable) and not client.recv(1, socket.MSG_PEEK)


def test_dripping_host_delays_no_account(
    board: Path,
    archive: Path,
    start_cli: Start,
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    """The manifest is stored while a host of images drips, and the command ends."""
    manifest, image = archive / "productions/drip/manifest.json", (board.parent / "dawn.png").read_bytes()
    looks = ("--first-poll", "0.2", "--poll-every", "0.2")
    with dripping(image, until=manifest) as (url, came_first):
        clips = {"title": "Drip", "clips": [{"prompt": "waves", "images": [url]}]}
        (tmp_path / "drip.json").write_text(json.dumps(clips), encoding="utf-8")

        process = start_cli("produce", tmp_path / "drip.json", "--archive", archive, *looks, env=sandbox.env)
        process.communicate(timeout=_WAIT_SECONDS)

    assert came_first.is_set()
    assert process.returncode == 0
    (clip,) = json.loads(manifest.read_text(encoding="utf-8"))["clips"]
    assert clip["status"] == "made"
    assert url in clip["seams"]["start"]["reason"]
