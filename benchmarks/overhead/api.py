"""A scripted API that costs little itself: every generation takes a known time, and the videos exist already.

Run: python -m benchmarks.overhead.api FOLDER SHORTEST LONGEST
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn

KEY = "benchmark-key"

_SPREAD = 7919
"""A prime, so that the durations of consecutive submissions are spread over the whole range."""


class ScriptedApi:
    """An ASGI application with the endpoints of the API, and ``/measures``.

    Args:
        videos: The contents of the result files, used in turn.
        shortest: Seconds of the shortest generation.
        longest: Seconds of the longest one.
    """

    def __init__(self, videos: Sequence[bytes], *, shortest: float, longest: float) -> None:
        self._videos = videos
        self._range = shortest, longest
        self.clear()

    def clear(self) -> None:
        """Forget all requests, for the next contender."""
        self._began: list[float] = []
        self._ends: list[float] = []
        self._detected: dict[int, float] = {}
        self._requests: Counter[str] = Counter()
        self._most_in_flight = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 -- ASGI's own types
        """Answer one request."""
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        kind, content = self._answer(scope["path"], scope["query_string"].decode())
        headers = [(b"content-type", kind), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, path: str, query: str) -> tuple[bytes, bytes]:
        if path.startswith("/files/"):
            self._requests["files"] += 1
            return b"video/mp4", self._videos[int(path.removeprefix("/files/")) % len(self._videos)]
        if path == "/measures":
            return b"application/json", json.dumps(self._measures()).encode()
        if path == "/clear":
            self.clear()
        data: object = 100.0
        if "/generateTask/" in path:
            data = {"taskId": self._submit()}
        elif "/statusTask/" in path:
            data = self._status(int(query.rpartition("=")[2].removeprefix("task_")))
        return b"application/json", json.dumps({"code": 200, "message": "success", "data": data}).encode()

    def _submit(self) -> str:
        self._requests["submissions"] += 1
        number, now = len(self._ends), time.monotonic()
        shortest, longest = self._range
        self._began.append(now)
        self._ends.append(now + shortest + (longest - shortest) * (number * _SPREAD % 1000) / 999)
        self._most_in_flight = max(self._most_in_flight, sum(end > now for end in self._ends))
        return f"task_{number}"

    def _status(self, number: int) -> Mapping[str, object]:
        self._requests["status reads"] += 1
        now, created = time.monotonic(), time.time() - (time.monotonic() - self._began[number])
        data: dict[str, object] = {
            "taskId": f"task_{number}",
            "state": "processing",
            "createTime": int(created * 1000),
        }
        if now < self._ends[number]:
            return data
        self._detected.setdefault(number, now - self._ends[number])
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

    def _measures(self) -> Mapping[str, object]:
        late = sorted(self._detected.values()) or [0.0]
        spread = self._began[-1] - self._began[0] if self._began else 0.0
        return {
            "requests": dict(self._requests),
            "most in flight": self._most_in_flight,
            "submissions took": round(spread, 2),
            "detection": {
                "mean": round(sum(late) / len(late), 3),
                "p95": round(late[len(late) * 95 // 100], 3),
            },
        }


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
    contents = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.mp4"))]
    asyncio.run(serve(ScriptedApi(contents, shortest=float(sys.argv[2]), longest=float(sys.argv[3]))))
