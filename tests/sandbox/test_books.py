"""The books, and the endpoints that open and empty them."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from prefect_seedance.sandbox import Settings, create_app
from prefect_seedance.sandbox.minute import SlidingMinute
from tests.sandbox.conftest import KEY, SUBMIT, Caller, text_input


class FastLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward."""

    ahead_seconds = 0.0

    def time(self) -> float:
        """Return the time, put forward."""
        return super().time() + self.ahead_seconds


async def test_generation_entered(there: Caller) -> None:
    """An accepted generation is in the books with all that matters."""
    task_id = await there.submit({"provider": "value"}, duration=8)
    status = await there.ended(task_id)

    [entry] = (await there.books())["generations"]

    assert entry["taskId"] == task_id
    assert entry["model"] == "seedance-1-5-pro"
    assert entry["provider"] == "value"
    assert entry["input"] == text_input(duration=8) | {"image_urls": []}
    assert entry["prompt"] == text_input()["prompt"]
    assert entry["accepted_at"] == status["createTime"]
    assert entry["state"] == "success"
    assert entry["billed_seconds"] == 8
    assert entry["status_reads"] >= 1


async def test_duplicates_noticed(here: Callable[..., Caller]) -> None:
    """The same input twice is a duplicate, whatever signature its URLs carry; another input is not."""
    caller = here()
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


async def test_requests_counted(there: Caller) -> None:
    """Refused submissions and reads of unknown ids are requests too."""
    task_id = await there.submit()
    await there.post({"input": {}})
    await there.http.post(SUBMIT, json={})
    await there.read(task_id)
    await there.read("task_unknown")

    books = await there.books()

    assert books["totals"]["submits_received"] == 3
    assert books["totals"]["accepted"] == 1
    assert books["totals"]["status_reads"] == 2
    assert books["generations"][0]["status_reads"] == 1
    assert books["totals"]["worst_minute_requests"] == 5


async def test_downloads_counted(there: Caller) -> None:
    """Downloads are counted in requests and bytes, parts as parts."""
    url = await there.film_url()
    whole = await there.http.get(url)
    await there.http.get(url, headers={"Range": "bytes=0-9"})
    await there.http.head(url)

    books = await there.books()

    assert books["totals"]["file_requests"] == books["generations"][0]["file_requests"] == 3
    assert books["totals"]["file_bytes"] == books["generations"][0]["file_bytes"] == len(whole.content) + 10


async def test_flights_counted(there: Caller) -> None:
    """The books know how many generations were in flight at most."""
    await there.script({"kind": "generation", "fault": "never-end", "times": 3})
    for number in range(3):
        await there.submit(prompt=f"clip {number}")
    await there.ended(await there.submit(prompt="a last clip"))

    totals = await there.totals()

    assert totals["in_flight"] == 3
    assert totals["max_in_flight"] == 4


@pytest.mark.parametrize("header", ["Authorization", "Cookie"])
async def test_foreign_headers_noticed(there: Caller, header: str) -> None:
    """What only the API may be sent is answered elsewhere too, but noted."""
    url = await there.film_url()

    file = await there.http.get(url, headers={header: f"Bearer {KEY}"})
    hosted = await there.http.get("/hosted/dawn.png", headers={header: f"Bearer {KEY}"})
    books = await there.books()

    assert (file.status_code, hosted.status_code) == (200, 200)
    assert books["totals"]["foreign_headers"] == 2
    assert [(note["where"], note["header"]) for note in books["foreign_headers"]] == [
        ("file", header.lower()),
        ("hosted", header.lower()),
    ]


async def test_own_headers_unnoticed(there: Caller) -> None:
    """The sandbox itself, and a client that behaves, leave nothing to note."""
    url = f"{there.http.base_url}/hosted/dawn.png"
    await there.http.get(await there.film_url(mode="image-to-video", image_urls=[url]))

    assert (await there.totals())["foreign_headers"] == 0


@pytest.mark.parametrize(("key", "end"), [("a-long-secret-key", "-key"), ("short", "")])
async def test_key_kept_secret(here: Callable[..., Caller], key: str, end: str) -> None:
    """Of a key the books tell the end, and of a short one nothing."""
    caller = here(api_key=key, key=key)
    await caller.submit()

    books = await caller.books()

    assert books["generations"][0]["api_key_end"] == end
    assert key not in json.dumps(books)


async def test_reset_empties(there: Caller) -> None:
    """After a reset nothing is known, billed or in flight."""
    await there.script({"kind": "generation", "fault": "never-end"})
    task_id = await there.submit()
    await there.http.get("/hosted/dawn.png", headers={"Cookie": "a=b"})

    answer = await there.http.post("/sandbox/reset")

    books = await there.books()
    assert answer.status_code == 200
    assert set(books["totals"].values()) == {0}
    assert books["generations"] == books["foreign_headers"] == []
    assert (await there.read(task_id)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "books"), ("POST", "reset"), ("GET", "faults"), ("PUT", "faults"), ("DELETE", "faults")],
)
async def test_control_stays_local(method: str, path: str) -> None:
    """Other machines can neither read the books nor change anything."""
    transport = httpx.ASGITransport(create_app(Settings()), client=("203.0.113.7", 4711))

    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as client:
        answer = await client.request(method, f"/sandbox/{path}", json={"rules": []})

    assert answer.status_code == 403


def test_minute_slides() -> None:
    """Events leave the window after a minute, and the worst minute is kept."""

    async def count() -> list[int]:
        minute, loop = SlidingMinute(), asyncio.get_running_loop()
        assert isinstance(loop, FastLoop)
        counts = []
        for ahead_seconds in (0, 30, 59, 61, 120, 200):
            loop.ahead_seconds = ahead_seconds
            minute.add()
            counts.append(minute.count())
        return [*counts, minute.worst]

    with asyncio.Runner(loop_factory=FastLoop) as runner:
        assert runner.run(count()) == [1, 2, 3, 3, 2, 1, 3]
