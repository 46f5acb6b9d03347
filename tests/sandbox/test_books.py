"""The books, and the endpoints that read and reset them."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from prefect_seedance.sandbox import Settings, create_app
from prefect_seedance.sandbox.minute import SlidingMinute
from tests.sandbox.conftest import KEY, SUBMIT, Client, text_input


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be advanced."""

    ahead_seconds = 0.0

    def time(self) -> float:
        """Return the advanced time."""
        return super().time() + self.ahead_seconds


async def test_generation_recorded(api: Client) -> None:
    """The books contain an accepted generation with all its fields."""
    task_id = await api.submit({"provider": "value"}, duration=8)
    status = await api.ended(task_id)

    [entry] = (await api.books())["generations"]

    assert entry["taskId"] == task_id
    assert entry["model"] == "seedance-1-5-pro"
    assert entry["provider"] == "value"
    assert entry["input"] == text_input(duration=8) | {"image_urls": []}
    assert entry["prompt"] == text_input()["prompt"]
    assert entry["accepted_at"] == status["createTime"]
    assert entry["state"] == "success"
    assert entry["billed_seconds"] == 8
    assert entry["status_reads"] >= 1


async def test_duplicates_recorded(in_process: Callable[..., Client]) -> None:
    """Two submissions of the same input are duplicates, even if the URL signatures differ."""
    caller = in_process()
    url = "https://images.example/dawn.png"
    first = await caller.submit(mode="image-to-video", image_urls=[f"{url}?signature=1"])
    second = await caller.submit(
        {"provider": "official"}, mode="image-to-video", image_urls=[f"{url}?signature=2"], fixed_lens=...
    )
    await caller.submit(mode="image-to-video", image_urls=["https://images.example/noon.png"])

    books = await caller.books()

    assert list(books["duplicates"].values()) == [[first, second]]
    assert books["totals"]["duplicates"] == 1
    assert books["totals"]["accepted"] == 3
    assert books["totals"]["paid_seconds"] == 12


async def test_requests_counted(api: Client) -> None:
    """Refused submissions and reads of unknown ids count as requests."""
    task_id = await api.submit()
    await api.post({"input": {}})
    await api.http.post(SUBMIT, json={})
    await api.read(task_id)
    await api.read("task_unknown")

    books = await api.books()

    assert books["totals"]["submits_received"] == 3
    assert books["totals"]["accepted"] == 1
    assert books["totals"]["status_reads"] == 2
    assert books["generations"][0]["status_reads"] == 1
    assert books["totals"]["worst_minute_requests"] == 5


async def test_downloads_counted(api: Client) -> None:
    """Downloads count as requests and as the bytes sent, including partial ones."""
    url = await api.video_url()
    whole = await api.http.get(url)
    await api.http.get(url, headers={"Range": "bytes=0-9"})
    await api.http.head(url)

    books = await api.books()

    assert books["totals"]["file_requests"] == books["generations"][0]["file_requests"] == 3
    assert books["totals"]["file_bytes"] == books["generations"][0]["file_bytes"] == len(whole.content) + 10


async def test_max_in_flight_counted(api: Client) -> None:
    """The books record the maximum number of generations in flight."""
    await api.script({"kind": "generation", "fault": "never-end", "times": 3})
    for number in range(3):
        await api.submit(prompt=f"clip {number}")
    await api.ended(await api.submit(prompt="a last clip"))

    totals = await api.totals()

    assert totals["in_flight"] == 3
    assert totals["max_in_flight"] == 4


@pytest.mark.parametrize("header", ["Authorization", "Cookie"])
async def test_foreign_headers_recorded(api: Client, header: str) -> None:
    """API headers on other endpoints do not change the response, but are recorded."""
    url = await api.video_url()

    file = await api.http.get(url, headers={header: f"Bearer {KEY}"})
    hosted = await api.http.get("/hosted/dawn.png", headers={header: f"Bearer {KEY}"})
    books = await api.books()

    assert (file.status_code, hosted.status_code) == (200, 200)
    assert books["totals"]["foreign_headers"] == 2
    assert [(record["where"], record["header"]) for record in books["foreign_headers"]] == [
        ("file", header.lower()),
        ("hosted", header.lower()),
    ]


async def test_correct_headers_not_recorded(api: Client) -> None:
    """Neither the sandbox nor a correct client causes a record of foreign headers."""
    url = f"{api.http.base_url}/hosted/dawn.png"
    await api.http.get(await api.video_url(mode="image-to-video", image_urls=[url]))

    assert (await api.totals())["foreign_headers"] == 0


@pytest.mark.parametrize(("key", "end"), [("a-long-secret-key", "-key"), ("short", "")])
async def test_key_kept_secret(in_process: Callable[..., Client], key: str, end: str) -> None:
    """The books contain the end of a long key, and nothing of a short one."""
    caller = in_process(api_key=key, key=key)
    await caller.submit()

    books = await caller.books()

    assert books["generations"][0]["api_key_end"] == end
    assert key not in json.dumps(books)


async def test_reset_empties(api: Client) -> None:
    """After a reset no generation is known, billed or in flight."""
    await api.script({"kind": "generation", "fault": "never-end"})
    task_id = await api.submit()
    await api.http.get("/hosted/dawn.png", headers={"Cookie": "a=b"})

    response = await api.http.post("/sandbox/reset")

    books = await api.books()
    assert response.status_code == 200
    assert set(books["totals"].values()) == {0}
    assert books["generations"] == books["foreign_headers"] == []
    assert (await api.read(task_id)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "books"), ("POST", "reset"), ("GET", "faults"), ("PUT", "faults"), ("DELETE", "faults")],
)
async def test_control_stays_local(method: str, path: str) -> None:
    """Other machines cannot read the books or change the sandbox."""
    transport = httpx.ASGITransport(create_app(Settings()), client=("203.0.113.7", 4711))

    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as client:
        response = await client.request(method, f"/sandbox/{path}", json={"rules": []})

    assert response.status_code == 403


def test_minute_slides() -> None:
    """Events leave the window after a minute, and the maximum is kept."""

    async def count() -> list[int]:
        minute, loop = SlidingMinute(), asyncio.get_running_loop()
        assert isinstance(loop, FastLoop)
        includes = []
        for ahead_seconds in (0, 30, 59, 61, 120, 200):
            loop.ahead_seconds = ahead_seconds
            minute.add()
            includes.append(minute.count())
        return [*includes, minute.worst]

    with asyncio.Runner(loop_factory=FastLoop) as runner:
        assert runner.run(count()) == [1, 2, 3, 3, 2, 1, 3]
