"""A host of images that answers the API, and later sends only a byte now and then."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import Popen

import pytest

Start = Callable[..., Popen[str]]

_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Drip:
    """The state of a host that serves an image once, and afterwards a byte every tenth of a second.

    Attributes:
        begun: Whether the second request is being answered.
        released: Set to end the answer.
    """

    url: str
    begun: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def drip(board: Path) -> Iterator[Drip]:
    """Serve the first image of the storyboard."""
    image, asked = (board.parent / "dawn.png").read_bytes(), threading.Event()

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(image)))
            self.end_headers()
            if not asked.is_set():
                asked.set()
                self.wfile.write(image)
                return
            state.begun.set()
            try:
                while not state.released.wait(0.1):
                    self.wfile.write(b"\0")
            except OSError:
                pass
            state.ended.set()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as the base class names it
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        state = Drip(f"http://127.0.0.1:{server.server_port}/dawn.png")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield state
        state.released.set()
        server.shutdown()


def until(condition: Callable[[], bool]) -> None:
    latest = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < latest, "the condition did not become true in time"
        time.sleep(0.05)


def test_dripping_host_delays_no_account(
    drip: Drip, start_cli: Start, production_env: Mapping[str, str], archive: Path, tmp_path: Path
) -> None:
    """The manifest is stored while the host still drips, and the command ends with film and report."""
    clips = {"title": "Drip", "clips": [{"prompt": "waves", "images": [drip.url]}]}
    board, manifest = tmp_path / "drip.json", archive / "productions/drip/manifest.json"
    board.write_text(json.dumps(clips), encoding="utf-8")
    looks = ("--first-poll", "0.2", "--poll-every", "0.2")

    process = start_cli("produce", board, "--archive", archive, *looks, env=production_env)
    until(drip.begun.is_set)
    until(manifest.exists)
    was_dripping = not drip.ended.is_set()
    drip.released.set()
    process.communicate(timeout=_WAIT_SECONDS)

    assert was_dripping
    assert process.returncode == 0
    (clip,) = json.loads(manifest.read_text(encoding="utf-8"))["clips"]
    assert clip["status"] == "made"
    assert "127.0.0.1" in clip["seams"]["start"]["reason"]
