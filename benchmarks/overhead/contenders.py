"""The programs that are compared: each makes the same clips, and prints its own measures as JSON.

Run: python -m benchmarks.overhead.contenders NAME CLIPS FOLDER FIRST_POLL RESOLUTION DURATION
"""

import asyncio
import cProfile
import hashlib
import json
import os
import pstats
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

KEY, URL = "benchmark-key", os.environ.get("SEEDANCE_BASE_URL", "")
MODEL = "seedance-1-5-pro"
HEADERS = {"Authorization": f"Bearer {KEY}"}
DEFAULTS: dict[str, object] = {}
"""Resolution and duration of all clips."""

CALLBACKS = "OVERHEAD_CALLBACKS"
"""The environment variable with the address of a callback receiver."""


def body(number: int) -> Mapping[str, object]:
    """Return the body of a submission."""
    return {
        "request_type": "async",
        "provider": "auto",
        "input": {"prompt": f"cloud {number}", **DEFAULTS},
    }


async def submit(http: httpx.AsyncClient, number: int) -> str:
    """Submit a clip without any safety, and return the generation's id."""
    response = await http.post(f"{URL}/api/v1/generateTask/{MODEL}", json=body(number))
    return str(response.raise_for_status().json()["data"]["taskId"])


async def poll(http: httpx.AsyncClient, task_id: str, *, first: float) -> str:
    """Poll a generation every two seconds, and return the URL of its video."""
    await asyncio.sleep(first)
    while True:
        response = await http.get(f"{URL}/api/v1/statusTask/{MODEL}", params={"taskId": task_id})
        data = response.raise_for_status().json()["data"]
        if data["state"] == "success":
            return str(json.loads(data["resultJson"])["resultUrls"][0])
        await asyncio.sleep(2)


async def download(http: httpx.AsyncClient, url: str, path: Path) -> str:
    """Download a video into memory, write it, and return its digest."""
    content = (await http.get(url)).raise_for_status().content
    path.write_bytes(content)  # noqa: ASYNC240 -- as most people do
    return hashlib.sha256(content).hexdigest()


def client() -> httpx.AsyncClient:
    """Return a client with one pool of a hundred connections, as httpx has by default."""
    return httpx.AsyncClient(headers=HEADERS, timeout=60)


def floor(clips: int, folder: Path, first: float) -> int:
    """Plain asyncio and httpx: no ledger, no check, no retry."""

    async def make() -> int:
        async with client() as http:

            async def one(number: int) -> str:
                url = await poll(http, await submit(http, number), first=first)
                return await download(http, url, folder / f"{number}.mp4")

            return len(await asyncio.gather(*map(one, range(clips))))

    return asyncio.run(make())


def usual(clips: int, folder: Path, first: float) -> int:
    """The Prefect flow that most people write: three tasks a clip, with retries."""
    from prefect import flow, task

    @task(retries=3, retry_delay_seconds=1)
    async def submit_task(number: int) -> str:
        async with client() as http:
            return await submit(http, number)

    @task(retries=3, retry_delay_seconds=1)
    async def poll_task(task_id: str) -> str:
        async with client() as http:
            return await poll(http, task_id, first=first)

    @task(retries=3, retry_delay_seconds=1)
    async def download_task(url: str, path: str) -> str:
        async with client() as http:
            return await download(http, url, Path(path))

    async def one(number: int) -> str:
        url = await poll_task(await submit_task(number))
        return await download_task(url, str(folder / f"{number}.mp4"))

    @flow
    async def usual_flow() -> int:
        return len(await asyncio.gather(*map(one, range(clips))))

    return asyncio.run(usual_flow())


def _arguments(clips: int, folder: Path, first: float, *, outputs: bool) -> dict[str, Any]:
    from prefect_seedance import Budget, ClipList, ClipSpec, Output, Waiting

    specs = tuple(ClipSpec(prompt=f"drifting clouds, number {number}") for number in range(clips))
    return {
        "storyboard": ClipList(title="Overhead", defaults=DEFAULTS, clips=specs),
        "archive": str(folder / "archive"),
        "budget": Budget(max_seconds=100_000),
        "waiting": Waiting(first_poll_seconds=first, callback_url=os.environ.get(CALLBACKS, "")),
        "output": Output(film=outputs, report=outputs),
    }


def plain(clips: int, folder: Path, first: float, *, outputs: bool = False) -> int:
    """Ours without Prefect."""
    from prefect_seedance.production.produce import produce

    arguments = _arguments(clips, folder, first, outputs=outputs)
    manifest = asyncio.run(produce(arguments.pop("storyboard"), **arguments))
    return sum(entry.clip is not None for entry in manifest.clips)


def in_flow(clips: int, folder: Path, first: float, *, outputs: bool = False) -> int:
    """Ours as a flow of Prefect."""
    from prefect import flow

    from prefect_seedance import produce

    arguments = _arguments(clips, folder, first, outputs=outputs)

    @flow
    async def our_flow() -> int:
        manifest = await produce(arguments.pop("storyboard"), **arguments)
        return sum(entry.clip is not None for entry in manifest.clips)

    return asyncio.run(our_flow())


CONTENDERS: Mapping[str, Callable[[int, Path, float], int]] = {
    "floor": floor,
    "usual": usual,
    "plain": plain,
    "plain-full": lambda *arguments: plain(*arguments, outputs=True),
    "flow": in_flow,
    "flow-full": lambda *arguments: in_flow(*arguments, outputs=True),
    "flow-callbacks": lambda *arguments: in_flow(*arguments, outputs=True),
}
"""``-full`` includes inspections, film and report; ``-callbacks`` does, too."""


@contextmanager
def _profiled(path: str) -> Iterator[None]:
    """Profile the main thread, if a path is given to write the figures to."""
    if not path:
        yield
        return
    profile = cProfile.Profile(time.thread_time)
    with profile:
        yield
    pstats.Stats(profile).dump_stats(path)


def _count(counts: Counter[str]) -> None:
    """Count what protects and stores the clips, from now on."""
    import obstore

    from prefect_seedance.video import decoding

    def counting(owner: object, name: str, key: str) -> None:
        inner = getattr(owner, name)

        def counted(*arguments: object, **options: object) -> object:
            counts[key] += 1
            return inner(*arguments, **options)

        setattr(owner, name, counted)

    counting(os, "fsync", "fsyncs")
    counting(obstore, "put_async", "objects written")
    counting(obstore, "get_async", "objects read")
    counting(decoding._Child, "ask", "decodes")  # noqa: SLF001 -- what the benchmark is about


def _decoding_cpu(name: str) -> float:
    """Return the seconds of CPU of the processes that decoded videos, their starts included."""
    if name in {"floor", "usual"}:
        return 0.0
    from prefect_seedance.video import decoding

    decoding._CHILDREN.close()  # noqa: SLF001 -- their times are known once they have ended
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_mb() -> int:
    """Return this program's peak memory; on Linux, `getrusage` includes that of its parent."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_000_000  # bytes on macOS
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


def main() -> None:
    """Run one contender, and print its measures."""
    name, clips, folder, first = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    DEFAULTS.update(resolution=sys.argv[5], duration=int(sys.argv[6]))
    counts: Counter[str] = Counter()
    if name not in {"floor", "usual"}:
        _count(counts)
    with _profiled(os.environ.get("OVERHEAD_PROFILE", "")):
        began, thread_began = time.monotonic(), time.thread_time()
        archived = CONTENDERS[name](clips, folder, first)
        took, thread_took = time.monotonic() - began, time.thread_time() - thread_began
    measures = {
        "archived": archived,
        "makespan": round(took, 2),
        "loop CPU": round(thread_took, 2),
        "decoding CPU": round(_decoding_cpu(name), 2),
        "memory MB": _peak_mb(),
        "counts": counts,
    }
    print(json.dumps(measures))


if __name__ == "__main__":
    main()
