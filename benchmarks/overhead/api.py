"""A scripted API that costs little itself: every generation takes a known time, and the videos exist already.

Run: python -m benchmarks.overhead.api FOLDER
"""

import asyncio
import json
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import uvicorn

KEY = "benchmark-key"

_SPREAD = 7919
"""A prime, so that the durations of consecutive submissions are spread over the whole range."""


class ScriptedApi:
    """An ASGI application with the endpoints of the API, ``/clear`` and ``/measures``.

    Args:
        videos: The contents of the result files of each kind of video, used in turn.
    """

    def __init__(self, videos: Mapping[str, Sequence[bytes]]) -> None:
        self._all_videos = videos
        self._callbacks = set[asyncio.Task[None]]()
        self._http = httpx.AsyncClient(timeout=60)
        self.clear(video=next(iter(videos)), shortest=1.0, longest=1.0)

    def clear(self, *, video: str, shortest: float, longest: float) -> None:
        """Forget all requests, for the next contender.

        Args:
            video: The kind of the result files.
            shortest: Seconds of the shortest generation.
            longest: Seconds of the longest one.
        """
        self._videos = self._all_videos[video]
        self._range = shortest, longest
        self._began: list[float] = []
        self._ends: list[float] = []
        self._detected: dict[int, float] = {}
        self._requests: Counter[str] = Counter()
        self._times: list[float] = []
        self._most_in_flight = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 -- ASGI's own types
        """Answer one request."""
        if scope["type"] != "http":
            return
        body, has_more = b"", True
        while has_more:
            message = await receive()
            body, has_more = body + message.get("body", b""), message.get("more_body", False)
        kind, content = self._answer(scope["path"], parse_qs(scope["query_string"].decode()), body)
        headers = [(b"content-type", kind), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, path: str, query: Mapping[str, Sequence[str]], body: bytes) -> tuple[bytes, bytes]:
        if path.startswith("/files/"):
            self._requests["files"] += 1
            return b"video/mp4", self._videos[int(path.removeprefix("/files/")) % len(self._videos)]
        if path == "/measures":
            return b"application/json", json.dumps(self._measures()).encode()
        if path == "/clear":
            shortest, longest = float(query["shortest"][0]), float(query["longest"][0])
            self.clear(video=query["video"][0], shortest=shortest, longest=longest)
        data: object = 100.0
        if "/generateTask/" in path:
            data = {"taskId": self._submit(json.loads(body).get("callback_url"))}
        elif "/statusTask/" in path:
            data = self._status(int(query["taskId"][0].removeprefix("task_")))
        return b"application/json", _enveloped(data)

    def _submit(self, callback_url: str | None) -> str:
        self._count("submissions")
        number, now = len(self._ends), time.monotonic()
        shortest, longest = self._range
        self._began.append(now)
        self._ends.append(now + shortest + (longest - shortest) * (number * _SPREAD % 1000) / 999)
        self._most_in_flight = max(self._most_in_flight, sum(end > now for end in self._ends))
        if callback_url:
            task = asyncio.create_task(self._call_back(number, callback_url))
            self._callbacks.add(task)
            task.add_done_callback(self._callbacks.discard)
        return f"task_{number}"

    async def _call_back(self, number: int, url: str) -> None:
        end = self._ends[number]
        await asyncio.sleep(end - time.monotonic())
        await self._http.post(url, content=_enveloped(self._generation(number, now=end)))

    def _status(self, number: int) -> Mapping[str, object]:
        self._count("status reads")
        now = time.monotonic()
        if now >= self._ends[number]:
            self._detected.setdefault(number, now - self._ends[number])
        return self._generation(number, now=now)

    def _generation(self, number: int, *, now: float) -> Mapping[str, object]:
        created = time.time() - (time.monotonic() - self._began[number])
        data: dict[str, object] = {
            "taskId": f"task_{number}",
            "state": "processing",
            "createTime": int(created * 1000),
        }
        if now < self._ends[number]:
            return data
        took = self._ends[number] - self._began[number]
        urls = {"resultUrls": [f"http://127.0.0.1:{self.port}/files/{number}"]}
        return {
            **data,
            "state": "success",
            "completeTime": int((created + took) * 1000),
            "costTime": int(took * 1000),
            "resultJson": json.dumps(urls),
        }

    port = 0

    def _count(self, kind: str) -> None:
        """Count a request that the account's limit counts, too."""
        self._requests[kind] += 1
        self._times.append(time.monotonic())

    def _measures(self) -> Mapping[str, object]:
        late = sorted(self._detected.values()) or [0.0]
        spread = self._began[-1] - self._began[0] if self._began else 0.0
        within = (n + 1 - bisect_left(self._times, now - 60) for n, now in enumerate(self._times))
        return {
            "requests": dict(self._requests),
            "busiest minute": max(within, default=0),
            "most in flight": self._most_in_flight,
            "submissions took": round(spread, 2),
            "detection": {
                "mean": round(sum(late) / len(late), 3),
                "p95": round(late[len(late) * 95 // 100], 3),
            },
        }


def _enveloped(data: object) -> bytes:
    return json.dumps({"code": 200, "message": "success", "data": data}).encode()


async def serve(api: ScriptedApi) -> None:
    """Serve until the process is stopped, and print the address."""
    server = uvicorn.Server(uvicorn.Config(api, port=0, log_level="error", lifespan="off", access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 -- uvicorn has no event for it
        await asyncio.sleep(0.01)
    api.port = server.servers[0].sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{api.port}", flush=True)
    await serving


if __name__ == "__main__":
    folders = list(Path(sys.argv[1]).iterdir())
    contents = {each.name: [path.read_bytes() for path in sorted(each.glob("*.mp4"))] for each in folders}
    asyncio.run(serve(ScriptedApi(contents)))
