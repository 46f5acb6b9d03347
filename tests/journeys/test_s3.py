"""An archive in S3, over the wire: what it promises, and what is said if it cannot."""

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
from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.orchestration.session import shared
from prefect_seedance.report.manifest import ExitCode
from prefect_seedance.storage.store import Store
from tests.processes import S3, Command, Sandbox, aws, free_port

_SOON_SECONDS = 60.0


@pytest.fixture
def bucket(s3: S3) -> str:
    return s3.bucket()


@pytest.fixture
def _here(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find the endpoint as a user's shell does."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(bucket: str, _here: None) -> Store:
    return Store.open(f"s3://{bucket}/films/")


class Between(http.server.ThreadingHTTPServer):
    """Stands between a client and the endpoint, and may keep answers to itself.

    Attributes:
        keeps: Is asked, after the endpoint has answered a request, whether the answer is lost.
        answer: What to say instead of asking the endpoint, if anything.
        refuses: Methods that are answered as if they were forbidden.
        deaf: Does not pass conditions on.
    """

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.endpoint = endpoint.removeprefix("http://")
        self.keeps: Callable[[str], bool] = lambda _: False
        self.answer: tuple[int, bytes] | None = None
        self.refuses: set[str] = set()
        self.deaf = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Forwarding(http.server.BaseHTTPRequestHandler):
    server: Between

    def _forward(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, answer = self._answer(content)
        if self.server.keeps(self.command):
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"connection", "date", "server", "content-length", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 -- as http.server wants

    def _answer(self, content: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self.server.answer:
            return self.server.answer[0], [], self.server.answer[1]
        if self.command in self.server.refuses:
            return 403, [], _DENIED
        headers = {name: value for name, value in self.headers.items() if not self._unheard(name)}
        with contextlib.closing(http.client.HTTPConnection(self.server.endpoint)) as onward:
            onward.request(self.command, self.path, content, headers)
            answer = onward.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _unheard(self, name: str) -> bool:
        return self.server.deaf and name.lower() == "if-none-match"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def between(s3: S3, _here: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    with Between(s3.url) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server
        server.shutdown()
        thread.join()


async def test_reads_what_was_written(store: Store, s3: S3, bucket: str) -> None:
    """A bucket keeps what a folder keeps, and says besides what it is."""
    video = io.BytesIO(os.urandom(40_000_000))

    await store.put("clips/a/clip.mp4", video, media_type="video/mp4", metadata={"sha256": "f00d"})
    head = s3.client().head_object(Bucket=bucket, Key="films/clips/a/clip.mp4")
    created = [await store.create("clips/a/clip.json", word) for word in (b"one", b"two")]

    file = io.BytesIO()
    assert created == [True, False]
    assert (head["ContentType"], head["Metadata"]) == ("video/mp4", {"sha256": "f00d"})
    assert await store.read("clips/a/clip.json") == b"one"
    assert await store.fetch("clips/a/clip.mp4", file) == hashlib.sha256(video.getvalue()).hexdigest()
    assert await store.size_bytes("clips/a/clip.mp4") == 40_000_000
    assert await store.keys("clips/") == ("clips/a/clip.json", "clips/a/clip.mp4")
    assert await store.read("clips/a/missing") is None


async def test_signed_url_is_public(store: Store) -> None:
    """Anyone can fetch by the signed URL, with the type that was said."""
    await store.put("images/a.png", b"picture", media_type="image/png")

    url = await store.sign("images/a.png", lifetime=timedelta(hours=24))

    assert url is not None
    assert "X-Amz-Expires=86400" in url
    async with httpx.AsyncClient() as client:
        answer = await client.get(url)
    assert (answer.content, answer.headers["Content-Type"]) == (b"picture", "image/png")


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


def test_one_process_wins(tmp_path: Path, store: Store) -> None:
    """Of several processes that create the same objects, exactly one is told so for each."""
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

    won = [json.loads(rival.communicate(timeout=_SOON_SECONDS)[0]) for rival in rivals]

    assert [rival.returncode for rival in rivals] == [0] * 5
    assert sorted(key for keys in won for key in keys) == list(range(20))
    for number, keys in enumerate(won):
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
    """Killed while it sends, a process leaves no object; parts only of what is larger than most clips."""
    await _killed_put(store, s3, bucket, size=size, left=left)

    assert await store.keys("clip/") == ()
    assert s3.unfinished(bucket) == left
    await store.put("clip/video", io.BytesIO(bytes(size)))
    assert await store.size_bytes("clip/video") == size


async def _killed_put(store: Store, s3: S3, bucket: str, *, size: int, left: int) -> None:
    """Kill a process that sends a file, once it has begun so many uploads in parts."""
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
    """What a killed process left half-sent is removed after a day, below one's own prefixes only."""
    await _killed_put(store, s3, bucket, size=30_000_000, left=1)

    await store.sweep(["clip/"])
    assert s3.unfinished(bucket) == 1  # somebody may be sending it still

    monkeypatch.setattr("prefect_seedance.storage.multipart._ABANDONED", timedelta(0))
    await store.sweep(["images/", "clip/vid/"])
    await Store.open(f"s3://{bucket}/another").sweep(["clip/"])
    assert s3.unfinished(bucket) == 1

    await store.sweep(["images/", "clip/"])
    assert s3.unfinished(bucket) == 0


async def test_bucket_may_keep_its_parts(
    between: Between, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who may not list uploads is not troubled by it."""
    between.answer = 403, _DENIED
    caplog.set_level("DEBUG", logger="prefect_seedance.storage.multipart")

    await Store.open(f"s3://{bucket}").sweep(["clips/a/"])

    assert "Could not look for unfinished uploads" in caplog.text


class Breaking(io.BytesIO):
    """A file that cannot be read to its end."""

    def read(self, size: int | None = -1) -> bytes:
        """Read, but not beyond the third part."""
        if self.tell() > 20_000_000:
            raise OSError("The disk is broken")
        return super().read(size)


async def test_broken_put_is_aborted(store: Store, s3: S3, bucket: str) -> None:
    """A transfer that breaks leaves what was there, and no parts."""
    await store.put("a/b", b"before")

    with pytest.raises(ArchiveError, match="The disk is broken"):
        await store.put("a/b", Breaking(bytes(40_000_000)))

    assert await store.read("a/b") == b"before"
    assert s3.unfinished(bucket) == 0


def until(condition: Callable[[], bool]) -> None:
    latest = time.monotonic() + _SOON_SECONDS
    while not condition():
        assert time.monotonic() < latest, "it did not come about"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own account of the process")
def test_large_file_takes_little_memory(store: Store) -> None:
    """However large a file is, sending it takes some parts' worth of memory."""
    sender = subprocess.run(
        [sys.executable, "-c", _SENDER, store.url], stdout=subprocess.PIPE, check=True, timeout=_SOON_SECONDS
    )

    assert int(sender.stdout) < 200_000  # KiB; half of the file


@pytest.mark.parametrize("lost", [1, 2])
async def test_lost_answer_loses_no_claim(between: Between, bucket: str, lost: int) -> None:
    """What the bucket wrote is ours, though its answer never came and a repetition found it written."""
    left = [lost]

    def loses(method: str) -> bool:
        left[0] -= method == "PUT"
        return method == "PUT" and left[0] >= 0

    between.keeps = loses
    store = Store.open(f"s3://{bucket}")

    mine = await store.create("clips/a/attempt-001/intent.json", b"mine")

    assert mine
    assert not await store.create("clips/a/attempt-001/intent.json", b"another's")
    assert await store.read("clips/a/attempt-001/intent.json") == b"mine"


async def test_record_outlives_bad_minutes(between: Between, bucket: str) -> None:
    """What was paid for is recorded though the bucket refuses more often than a reader would put up with."""
    left = [8]
    busy = 503, _BUSY

    def refuses(method: str) -> bool:
        left[0] -= method == "PUT"
        between.answer = busy if left[0] > 0 else None
        return False

    between.answer, between.keeps = busy, refuses
    store = Store.open(f"s3://{bucket}")

    assert await store.create("clips/a/attempt-001/accepted.json", b"its id")
    assert await store.read("clips/a/attempt-001/accepted.json") == b"its id"


@pytest.mark.usefixtures("_here")
async def test_block_is_an_archive(bucket: str, sandbox: Sandbox) -> None:
    """A block can be handed over as it is, besides its name."""
    order = RunSettings(
        credentials=SeedanceCredentials(api_key=SecretStr(sandbox.key), base_url=sandbox.url),
        archive=ClipArchive(url=f"s3://{bucket}/films"),
    )

    async with shared(order) as first, shared(order) as second:
        assert first is second
        assert first.store.url == f"s3://{bucket}/films"


async def test_probe_leaves_nothing(store: Store, s3: S3, bucket: str) -> None:
    """A bucket that does what it should passes, and is as empty as before."""
    await store.probe()

    with contextlib.closing(s3.client()) as client:
        assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


async def test_probe_needs_no_deletion(between: Between, bucket: str) -> None:
    """Who may not delete can archive all the same."""
    store = Store.open(f"s3://{bucket}")
    between.refuses = {"DELETE", "POST"}  # one object, or several

    await store.probe()

    assert len(await store.keys("probes/")) == 1


async def test_probe_refuses_what_overwrites(between: Between, bucket: str) -> None:
    """A store that ignores If-None-Match cannot keep a ledger."""
    between.deaf = True

    with pytest.raises(SetupError, match=r"does not create objects atomically.*Nothing was spent"):
        await Store.open(f"s3://{bucket}").probe()


_REGION = b"""<?xml version="1.0"?><Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization
header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message></Error>"""
_BUSY = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
_MISSING = b"<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>"
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        pytest.param(400, _REGION, "expecting 'eu-west-1' (AuthorizationHeaderMalformed)", id="region"),
        pytest.param(301, b"", "region", id="redirect"),
        pytest.param(400, _EXPIRED, "The provided token has expired (ExpiredToken)", id="token"),
        pytest.param(403, _DENIED, "Access Denied (AccessDenied)", id="denied"),
        pytest.param(503, _BUSY, "SlowDown", id="busy"),
        pytest.param(200, b"Welcome", "Header missing from response", id="another server"),
    ],
)  # fmt: skip
async def test_probe_says_what_is_wrong(
    between: Between, bucket: str, status: int, answer: bytes, said: str
) -> None:
    """Whatever the endpoint says, the error is one clear line."""
    between.answer = status, answer

    with pytest.raises(SetupError) as caught:
        await Store.open(f"s3://{bucket}").probe()

    assert said in " ".join(str(caught.value).split())


async def test_dead_endpoint_fails_soon(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for minutes to learn that nothing answers."""
    for name, value in aws(f"http://127.0.0.1:{free_port()}").items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()

    with pytest.raises(SetupError, match=r"error sending request.*endpoint"):
        await Store.open(f"s3://{bucket}").probe()

    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        pytest.param(404, _MISSING, "NoSuchBucket", id="missing"),
        pytest.param(403, _DENIED, "AccessDenied", id="denied"),
        pytest.param(400, _REGION, "AuthorizationHeaderMalformed", id="region"),
        pytest.param(400, _EXPIRED, "ExpiredToken", id="token"),
    ],
)
def test_wrong_bucket_costs_nothing(
    run_cli: Command,
    studio: dict[str, str],
    sandbox: Sandbox,
    between: Between,
    s3: S3,
    board: Path,
    status: int,
    answer: bytes,
    said: str,
) -> None:
    """A production into a bucket that refuses ends before anything is sent, in one line, with exit code 2."""
    between.answer = status, answer
    env = {**studio, **s3.env, "AWS_ENDPOINT_URL": between.url}

    run = run_cli("produce", board, "--archive", "s3://clips/films", env=env)

    assert run.returncode == 2
    assert said in run.stderr
    assert "Nothing was spent" in " ".join(run.stderr.split())
    assert sandbox.totals()["submits_received"] == 0


def test_bucket_that_vanishes(
    start_cli: Callable[..., subprocess.Popen[str]],
    studio: dict[str, str],
    sandbox: Sandbox,
    s3: S3,
    bucket: str,
    board: Path,
) -> None:
    """When the bucket goes while clips are generated, each says so, and the account is shown all the same."""
    sandbox.faults({"kind": "generation", "fault": "take-longer", "factor": 8})
    run = start_cli("produce", board, "--archive", f"s3://{bucket}/films", env={**studio, **s3.env})
    while sum(key.endswith("accepted.json") for key in s3.contents(bucket)) < 2:
        assert run.poll() is None
        time.sleep(0.05)

    s3.remove(bucket)
    out, err = run.communicate(timeout=120)

    assert run.returncode == ExitCode.in_flight, err
    assert "The specified bucket does not exist (NoSuchBucket)" in " ".join(out.split())
    assert "2 in flight. This run submitted 8 s of video" in out
    assert "Traceback" not in out + err
