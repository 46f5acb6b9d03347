"""An archive in S3, tested over HTTP: its guarantees and its errors."""

import asyncio
import contextlib
import hashlib
import http.client
import http.server
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from prefect_seedance import ClipArchive, RunSettings, SeedanceCredentials
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Intent
from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.orchestration.session import shared_session
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.processes import S3, Command, Sandbox, aws, free_port
from tests.records import intent_of

_WAIT_SECONDS = 60.0


@pytest.fixture
def bucket(s3: S3) -> str:
    return s3.bucket()


@pytest.fixture
def _environment(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the endpoint's environment variables in this process."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(bucket: str, _environment: None) -> Store:
    return Store.open(f"s3://{bucket}/films/")


class Proxy(http.server.ThreadingHTTPServer):
    """A proxy of the endpoint that can fail.

    Attributes:
        drops: Called with the method after the endpoint has responded; true drops the response.
        response: Status and body to send instead of calling the endpoint, if any.
        refuses: Methods to refuse with 403.
        strips_conditions: Whether to remove conditions from requests.
    """

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.endpoint = endpoint.removeprefix("http://")
        self.drops: Callable[[str], bool] = lambda _: False
        self.response: tuple[int, bytes] | None = None
        self.refuses: set[str] = set()
        self.strips_conditions = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Forwarding(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def _forward(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, body = self._respond(content)
        if self.server.drops(self.command):
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"connection", "date", "server", "content-length", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 -- names required by http.server

    def _respond(self, content: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self.server.response:
            return self.server.response[0], [], self.server.response[1]
        if self.command in self.server.refuses:
            return 403, [], _DENIED
        headers = {name: value for name, value in self.headers.items() if not self._is_stripped(name)}
        with contextlib.closing(http.client.HTTPConnection(self.server.endpoint)) as onward:
            onward.request(self.command, self.path, content, headers)
            response = onward.getresponse()
            return response.status, response.getheaders(), response.read()

    def _is_stripped(self, name: str) -> bool:
        return self.server.strips_conditions and name.lower() == "if-none-match"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy(s3: S3, _environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(s3.url) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server
        server.shutdown()
        thread.join()


async def test_reads_what_was_written(store: Store, s3: S3, bucket: str) -> None:
    """A bucket stores the same data as a folder, and the media type and metadata."""
    video = io.BytesIO(os.urandom(40_000_000))

    await store.put("clips/a/clip.mp4", video, media_type="video/mp4", metadata={"sha256": "f00d"})
    with contextlib.closing(s3.client()) as client:
        head = client.head_object(Bucket=bucket, Key="films/clips/a/clip.mp4")
    created = [await store.create("clips/a/clip.json", content) for content in (b"one", b"two")]

    file = io.BytesIO()
    assert created == [True, False]
    assert (head["ContentType"], head["Metadata"]) == ("video/mp4", {"sha256": "f00d"})
    assert await store.read("clips/a/clip.json") == b"one"
    assert await store.fetch("clips/a/clip.mp4", file) == hashlib.sha256(video.getvalue()).hexdigest()
    assert await store.size_bytes("clips/a/clip.mp4") == 40_000_000
    assert await store.keys("clips/") == ("clips/a/clip.json", "clips/a/clip.mp4")
    assert await store.read("clips/a/missing") is None


async def test_signed_url_is_public(store: Store) -> None:
    """A signed URL can be downloaded without credentials, with the stored media type."""
    await store.put("images/a.png", b"image", media_type="image/png")

    url = await store.sign("images/a.png", lifetime=timedelta(hours=24))

    assert url is not None
    assert "X-Amz-Expires=86400" in url
    async with httpx.AsyncClient() as client:
        response = await client.get(url)
    assert (response.content, response.headers["Content-Type"]) == (b"image", "image/png")


_RIVAL = """
import asyncio, json, os, sys
from pathlib import Path
from prefect_seedance.storage.store import Store

async def main(url, folder, name):
    store = Store.open(url)
    await store.read("warm")
    Path(folder, f"ready-{name}").touch()
    while not os.path.exists(Path(folder, "go")):
        pass
    print(json.dumps([key for key in range(20) if await store.create(f"race/{key}", name.encode())]))

asyncio.run(main(*sys.argv[1:]))
"""


def test_one_process_creates(tmp_path: Path, store: Store) -> None:
    """Of several processes that create the same objects, exactly one succeeds for each object."""
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", _RIVAL, store.url, str(tmp_path), str(number)], stdout=subprocess.PIPE
        )
        for number in range(5)
    ]
    while len(list(tmp_path.glob("ready-*"))) < len(rivals):
        assert not any(rival.poll() for rival in rivals)
        time.sleep(0.02)
    (tmp_path / "go").touch()

    created = [json.loads(rival.communicate(timeout=_WAIT_SECONDS)[0]) for rival in rivals]

    assert [rival.returncode for rival in rivals] == [0] * 5
    assert sorted(key for keys in created for key in keys) == list(range(20))
    for number, keys in enumerate(created):
        held = {asyncio.run(store.read(f"race/{key}")) for key in keys}
        assert held <= {str(number).encode()}


_SENDER = """
import asyncio, re, sys, tempfile
from pathlib import Path
from prefect_seedance.storage.store import Store

async def main(url):
    with tempfile.TemporaryFile() as file:
        file.truncate(400_000_000)
        await Store.open(url).put("large", file)
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

asyncio.run(main(sys.argv[1]))
"""


_VICTIM = """
import asyncio, io, sys, time
from prefect_seedance.storage.store import Store

class Stuck(io.BytesIO):
    def read(self, size=-1):
        if self.tell() + 1_000_000 > len(self.getvalue()) - 1_000_000:
            print("stuck", flush=True)
            time.sleep(60)
        return super().read(min(size, 1_000_000))

asyncio.run(Store.open(sys.argv[1]).put("clip/video", Stuck(bytes(int(sys.argv[2])))))
"""


@pytest.mark.parametrize(("size", "left"), [(7_000_000, 0), (30_000_000, 1)], ids=["one part", "several"])
async def test_killed_put_leaves_no_object(store: Store, s3: S3, bucket: str, size: int, left: int) -> None:
    """A process killed during an upload leaves no object, and parts of large files only."""
    await _killed_put(store, s3, bucket, size=size, left=left)

    assert await store.keys("clip/") == ()
    assert s3.unfinished(bucket) == left
    await store.put("clip/video", io.BytesIO(bytes(size)))
    assert await store.size_bytes("clip/video") == size


async def _killed_put(store: Store, s3: S3, bucket: str, *, size: int, left: int) -> None:
    """Kill a process during an upload, once it has started the given number of multipart uploads."""
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _VICTIM, store.url, str(size), stdout=subprocess.PIPE
    )
    assert victim.stdout
    await victim.stdout.readline()
    if left:
        await asyncio.to_thread(until, lambda: s3.unfinished(bucket) == left)
    victim.kill()
    await victim.communicate()


async def test_later_run_removes_parts(
    store: Store, s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of a killed process are removed after a day, below the given prefixes only."""
    await _killed_put(store, s3, bucket, size=30_000_000, left=1)

    await store.sweep(["clip/"])
    assert s3.unfinished(bucket) == 1  # another process may still be uploading it

    monkeypatch.setattr("prefect_seedance.storage.multipart._ABANDONED_AFTER", timedelta(0))
    await store.sweep(["images/", "clip/vid/"])
    await Store.open(f"s3://{bucket}/another").sweep(["clip/"])
    assert s3.unfinished(bucket) == 1

    await store.sweep(["images/", "clip/"])
    assert s3.unfinished(bucket) == 0


async def test_sweep_without_permission(proxy: Proxy, bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    """Without permission to list uploads, a sweep does nothing."""
    proxy.response = 403, _DENIED
    caplog.set_level("DEBUG", logger="prefect_seedance.storage.multipart")

    await Store.open(f"s3://{bucket}").sweep(["clips/a/"])

    assert "Could not list unfinished uploads" in caplog.text


class Breaking(io.BytesIO):
    """A file that raises an error before its end."""

    def read(self, size: int | None = -1) -> bytes:
        """Read, but fail after 20 MB."""
        if self.tell() > 20_000_000:
            raise OSError("The disk is broken")
        return super().read(size)


async def test_broken_put_is_aborted(store: Store, s3: S3, bucket: str) -> None:
    """An upload that fails leaves the previous object and no parts."""
    await store.put("a/b", b"before")

    with pytest.raises(ArchiveError, match="The disk is broken"):
        await store.put("a/b", Breaking(bytes(40_000_000)))

    assert await store.read("a/b") == b"before"
    assert s3.unfinished(bucket) == 0


def until(condition: Callable[[], bool]) -> None:
    latest = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < latest, "the condition did not become true in time"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_file_takes_little_memory(store: Store) -> None:
    """The memory of an upload does not depend on the size of the file."""
    sender = subprocess.run(
        [sys.executable, "-c", _SENDER, store.url], stdout=subprocess.PIPE, check=True, timeout=_WAIT_SECONDS
    )

    assert int(sender.stdout) < 200_000  # KiB; half of the file


def _intent(*, nonce: str) -> Intent:
    clip = PlannedClip(
        name="bell", prompt="a bell", images=(), settings=ClipSettings(), number=1, fingerprint="f" * 32
    )
    return intent_of(clip).model_copy(update={"nonce": nonce, "production": ""})


@pytest.mark.parametrize("lost", [1, 2])
async def test_lost_response_drops_no_claim(proxy: Proxy, bucket: str, lost: int) -> None:
    """A claim whose response was lost still belongs to this run, and to no other."""
    left = [lost]

    def loses(method: str) -> bool:
        left[0] -= method == "PUT"
        return method == "PUT" and left[0] >= 0

    proxy.drops = loses
    ledger = Ledger(Store.open(f"s3://{bucket}"))

    claimed = await ledger.claim(_intent(nonce="mine"))

    assert claimed
    assert await ledger.claim(_intent(nonce="another's")) is None
    assert await ledger.attempts(claimed.intent.fingerprint) == (claimed,)


async def test_lost_response_is_no_creation(proxy: Proxy, bucket: str) -> None:
    """If the response to a creation is lost, the object exists, and no call reports its creation."""
    dropped = iter([True])
    proxy.drops = lambda method: method == "PUT" and next(dropped, False)
    store = Store.open(f"s3://{bucket}")

    assert [await store.create("a", content) for content in (b"first", b"second")] == [False, False]
    assert await store.read("a") == b"first"


async def test_record_outlasts_slowdown(proxy: Proxy, bucket: str) -> None:
    """A record is written although the bucket refuses more often than for reads."""
    left = [8]
    busy = 503, _BUSY

    def refuses(method: str) -> bool:
        left[0] -= method == "PUT"
        proxy.response = busy if left[0] > 0 else None
        return False

    proxy.response, proxy.drops = busy, refuses
    store = Store.open(f"s3://{bucket}")

    assert await store.create("clips/a/attempt-001/accepted.json", b"its id")
    assert await store.read("clips/a/attempt-001/accepted.json") == b"its id"


@pytest.mark.usefixtures("_environment")
async def test_block_is_an_archive(bucket: str, sandbox: Sandbox) -> None:
    """A block object can be used as an archive."""
    settings = RunSettings(
        credentials=SeedanceCredentials(api_key=SecretStr(sandbox.key), base_url=sandbox.url),
        archive=ClipArchive(url=f"s3://{bucket}/films"),
    )

    async with shared_session(settings) as first, shared_session(settings) as second:
        assert first is second
        assert first.session.store.url == f"s3://{bucket}/films"


async def test_probe_leaves_nothing(store: Store, s3: S3, bucket: str) -> None:
    """A probe of a correct bucket leaves no object."""
    await store.probe()

    with contextlib.closing(s3.client()) as client:
        assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


async def test_probe_needs_no_deletion(proxy: Proxy, bucket: str) -> None:
    """Without permission to delete, a bucket can be used as an archive."""
    store = Store.open(f"s3://{bucket}")
    proxy.refuses = {"DELETE", "POST"}  # one object, or several

    await store.probe()

    assert len(await store.keys("probes/")) == 1


async def test_probe_refuses_overwriting(proxy: Proxy, bucket: str) -> None:
    """A store that ignores If-None-Match is refused."""
    proxy.strips_conditions = True

    with pytest.raises(SetupError, match=r"does not create objects atomically.*Nothing was spent"):
        await Store.open(f"s3://{bucket}").probe()


_REGION = b"""<?xml version="1.0"?><Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization
header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message></Error>"""
_BUSY = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
_MISSING = b"<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>"
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(400, _REGION, "expecting 'eu-west-1' (AuthorizationHeaderMalformed)", id="region"),
        pytest.param(301, b"", "region", id="redirect"),
        pytest.param(400, _EXPIRED, "The provided token has expired (ExpiredToken)", id="token"),
        pytest.param(403, _DENIED, "Access Denied (AccessDenied)", id="denied"),
        pytest.param(503, _BUSY, "SlowDown", id="busy"),
        pytest.param(200, b"Welcome", "Header missing from response", id="another server"),
    ],
)  # fmt: skip
async def test_probe_names_error(proxy: Proxy, bucket: str, status: int, body: bytes, error: str) -> None:
    """The error of a probe is one clear line."""
    proxy.response = status, body

    with pytest.raises(SetupError) as caught:
        await Store.open(f"s3://{bucket}").probe()

    assert error in " ".join(str(caught.value).split())


async def test_dead_endpoint_fails_soon(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreachable endpoint fails within seconds."""
    for name, value in aws(f"http://127.0.0.1:{free_port()}").items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()

    with pytest.raises(SetupError, match=r"error sending request.*endpoint"):
        await Store.open(f"s3://{bucket}").probe()

    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("response", "error"),
    [
        pytest.param((404, _MISSING), "NoSuchBucket", id="missing"),
        pytest.param((403, _DENIED), "AccessDenied", id="denied"),
        pytest.param((400, _REGION), "AuthorizationHeaderMalformed", id="region"),
        pytest.param((400, _EXPIRED), "ExpiredToken", id="token"),
    ],
)
def test_wrong_bucket_costs_nothing(
    run_cli: Command,
    production_env: dict[str, str],
    sandbox: Sandbox,
    proxy: Proxy,
    s3: S3,
    board: Path,
    response: tuple[int, bytes],
    error: str,
) -> None:
    """A bucket that refuses ends a production before anything is sent, in one line and with exit code 2."""
    proxy.response = response
    env = {**production_env, **s3.env, "AWS_ENDPOINT_URL": proxy.url}

    run = run_cli("produce", board, "--archive", "s3://clips/films", env=env)

    assert run.returncode == 2
    assert error in run.stderr
    assert "Nothing was spent" in " ".join(run.stderr.split())
    assert sandbox.totals()["submits_received"] == 0


def test_deleted_bucket(
    start_cli: Callable[..., subprocess.Popen[str]],
    production_env: dict[str, str],
    sandbox: Sandbox,
    s3: S3,
    bucket: str,
    board: Path,
) -> None:
    """When the bucket is deleted during a run, each clip reports it, and the summary is shown."""
    sandbox.faults({"kind": "generation", "fault": "take-longer", "factor": 8})
    run = start_cli("produce", board, "--archive", f"s3://{bucket}/films", env={**production_env, **s3.env})
    while sum(key.endswith("accepted.json") for key in s3.contents(bucket)) < 2:
        assert run.poll() is None
        time.sleep(0.05)

    s3.remove(bucket)
    out, err = run.communicate(timeout=120)

    assert run.returncode == ExitCode.in_flight, err
    assert "The specified bucket does not exist (NoSuchBucket)" in " ".join(out.split())
    assert "2 in flight. This run submitted 8 s of video" in out
    assert "Traceback" not in out + err
