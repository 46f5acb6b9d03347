"""Fixtures for sandbox tests: a sandbox process, an in-process sandbox, a client and a callback receiver."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from prefect_seedance.sandbox import Settings, create_app

ROOT = Path(__file__).parents[2]
SUBMIT = "/api/v1/generateTask/seedance-1-5-pro"
STATUS = "/api/v1/statusTask/seedance-1-5-pro"
KEY = "sandbox-key"

# Far longer than any step here takes, and short enough not to block the suite.
TIMEOUT_SECONDS = 10.0


def text_input(**changes: object) -> dict[str, object]:
    """Return a valid input with changes; `...` omits a field."""
    requested = {
        "mode": "text-to-video",
        "prompt": "drifting clouds over a lighthouse",
        "duration": 4,
        "resolution": "480p",
        "aspect_ratio": "16:9",
        "sound": False,
        "fixed_lens": False,
    }
    return {field: value for field, value in (requested | changes).items() if value is not ...}


@dataclass
class Client:
    """A minimal client of the API that sends the key."""

    http: httpx.AsyncClient
    key: str = KEY

    @property
    def authorization(self) -> dict[str, str]:
        """The headers of every API request."""
        return {"Authorization": f"Bearer {self.key}"}

    async def post(self, body: object, *, timeout_seconds: float = TIMEOUT_SECONDS) -> httpx.Response:
        """Submit a body, valid or not."""
        return await self.http.post(SUBMIT, json=body, headers=self.authorization, timeout=timeout_seconds)

    async def submit(self, body: dict[str, object] | None = None, **changes: object) -> str:
        """Submit a valid input and return the task id."""
        response = await self.post({"input": text_input(**changes), **(body or {})})
        assert response.status_code == 200, response.text
        return str(response.json()["data"]["taskId"])

    async def read(self, task_id: str) -> httpx.Response:
        """Read a status."""
        return await self.http.get(STATUS, params={"taskId": task_id}, headers=self.authorization)

    async def status(self, task_id: str) -> dict[str, Any]:
        """Read the data of a status."""
        return dict((await self.read(task_id)).json()["data"])

    async def until(self, task_id: str, *states: str) -> dict[str, Any]:
        """Poll until the state is one of the given states."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (status := await self.status(task_id))["state"] not in states:
                await asyncio.sleep(0.01)
        return status

    async def ended(self, task_id: str) -> dict[str, Any]:
        """Poll until the generation has ended."""
        return await self.until(task_id, "success", "failed")

    async def video_url(self, **changes: object) -> str:
        """Generate a video and return its URL."""
        status = await self.ended(await self.submit(None, **changes))
        return str(json.loads(status["resultJson"])["resultUrls"][0])

    async def books(self) -> dict[str, Any]:
        """Read the books."""
        return dict((await self.http.get("/sandbox/books")).json())

    async def totals(self) -> dict[str, int]:
        """Read the totals of the books."""
        return dict((await self.books())["totals"])

    async def script(self, *rules: dict[str, object]) -> None:
        """Replace the fault rules."""
        response = await self.http.put("/sandbox/faults", json={"rules": rules})
        assert response.status_code == 200, response.text


@pytest.fixture(scope="session")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images for the sandbox to serve."""
    folder = tmp_path_factory.mktemp("hosted")
    sky = Image.merge(
        "RGB", [Image.linear_gradient("L").resize((640, 480)), *[Image.new("L", (640, 480), 90)] * 2]
    )
    # Stripes at the edges, which disappear if the camera zooms in too far.
    sky.paste("white", (0, 0, 12, 480))
    sky.paste("black", (628, 0, 640, 480))
    sky.save(folder / "dawn.png")
    sky.transpose(Image.Transpose.ROTATE_180).convert("RGB").save(folder / "noon.jpg", quality=95)
    sky.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(folder / "dusk.webp", quality=95)
    return folder


@pytest.fixture
def in_process(hosted: Path) -> Callable[..., Client]:
    """Return a function that opens a client of a sandbox in this process."""

    def call(*, key: str = KEY, app: object = None, **settings: object) -> Client:
        sandbox = app or create_app(
            Settings.model_validate({"speed": 200, "frame_rate": 1, "serve": hosted} | settings)
        )
        transport = httpx.ASGITransport(sandbox)  # type: ignore[arg-type]  # any ASGI application
        return Client(httpx.AsyncClient(transport=transport, base_url="http://sandbox.test"), key)

    return call


def start(*options: object) -> subprocess.Popen[str]:
    """Start a sandbox process on a free port."""
    command = [sys.executable, "-m", "prefect_seedance.sandbox", "--port", "0", *map(str, options)]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def address(process: subprocess.Popen[str]) -> str:
    """Return the URL from the line that a sandbox prints when it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Sandbox API on http://127.0.0.1:"), line + process.communicate()[1]
    return line.split()[-1]


@pytest.fixture(scope="session")
def process_url(hosted: Path) -> Iterator[str]:
    """Run a fast sandbox process, and check that it prints nothing but its URL."""
    with start("--speed", 1000, "--frame-rate", 2, "--serve", hosted) as process:
        yield address(process)
        process.terminate()
        assert process.communicate(timeout=TIMEOUT_SECONDS) == ("", "")
        assert process.returncode == 0


@pytest.fixture
async def api(process_url: str) -> AsyncIterator[Client]:
    """Return a client of the sandbox process, with empty books and no faults."""
    async with httpx.AsyncClient(base_url=process_url, timeout=TIMEOUT_SECONDS) as client:
        await client.delete("/sandbox/faults")
        await client.post("/sandbox/reset")
        yield Client(client)
        await client.delete("/sandbox/faults")


class Receiver:
    """A callback receiver that stores each request and its time."""

    def __init__(self, *statuses: int) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self._statuses = list(statuses)
        self._arrived = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to one request with the next given status, or with 200 when none is left."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        self.times.append(time.monotonic())
        self.requests.append(head)
        self.bodies.append(json.loads(await reader.readexactly(length)))
        status = self._statuses.pop(0) if self._statuses else 200
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()
        async with self._arrived:
            self._arrived.notify_all()

    async def has(self, count: int) -> None:
        """Wait until that many callbacks have arrived."""
        async with asyncio.timeout(TIMEOUT_SECONDS), self._arrived:
            await self._arrived.wait_for(lambda: len(self.bodies) >= count)


@pytest.fixture
async def receive() -> AsyncIterator[Callable[..., Any]]:
    """Return a function that opens a callback receiver and returns it with its URL."""
    servers = []

    async def opened(*statuses: int) -> tuple[Receiver, str]:
        receiver = Receiver(*statuses)
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
        servers.append(server)
        return receiver, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"

    yield opened
    for server in servers:
        server.close()
        await server.wait_closed()
