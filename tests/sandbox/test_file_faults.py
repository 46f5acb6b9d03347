"""Faults of downloads, as a plain client meets them."""

import asyncio
import io
import time
from collections.abc import Callable
from dataclasses import dataclass

import av
import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from prefect_seedance.sandbox.faults.tampering import Clipped
from tests.sandbox.conftest import Caller


@dataclass
class Result:
    """A video to fetch, and what it should be."""

    caller: Caller
    url: str
    content: bytes

    async def get(self, fault: str, *, wanted: str = "", **parameters: object) -> httpx.Response:
        """Download the result under a fault."""
        await self.caller.script({"kind": "file", "fault": fault, **parameters})
        return await self.caller.http.get(self.url, headers={"Range": wanted} if wanted else {})

    async def received(self, fault: str, **parameters: object) -> tuple[int, bytes]:
        """Return the declared length, and what came before the connection closed."""
        await self.caller.script({"kind": "file", "fault": fault, **parameters})
        content = bytearray()

        async def read(answer: httpx.Response) -> None:
            async for chunk in answer.aiter_bytes():
                content.extend(chunk)

        async with self.caller.http.stream("GET", self.url) as answer:
            with pytest.raises(httpx.RemoteProtocolError):
                await read(answer)
        return int(answer.headers["content-length"]), bytes(content)


@pytest.fixture
async def result(there: Caller) -> Result:
    url = await there.film_url()
    return Result(there, url, (await there.http.get(url)).content)


@pytest.mark.parametrize(
    ("place", "length"),
    [
        pytest.param({"at_byte": 0}, lambda _: 0, id="first byte"),
        pytest.param({"at_byte": 1000}, lambda _: 1000, id="byte 1000"),
        pytest.param({"at_share": 0.5}, lambda whole: whole // 2, id="half"),
    ],
)
async def test_truncated(result: Result, place: dict[str, object], length: Callable[[int], int]) -> None:
    """A file can break off anywhere, and the connection with it."""
    declared, content = await result.received("truncate", **place)

    assert declared == len(result.content)
    assert content == result.content[: length(declared)]


@pytest.mark.parametrize("kept", [0, 1000, 70_000])
async def test_truncated_unnoticed(result: Result, kept: int) -> None:
    """A file can break off anywhere and look complete."""
    answer = await result.get("truncate", at_byte=kept, consistent=True)

    assert answer.status_code == 200
    assert answer.content == result.content[:kept]
    assert int(answer.headers["content-length"]) == kept < len(result.content)


async def test_truncated_without_server(here: Callable[..., Caller]) -> None:
    """Without a connection to close, httpx tells of a broken one all the same."""
    caller = here()
    url = await caller.film_url()
    whole = (await caller.http.get(url)).content

    await caller.script({"kind": "file", "fault": "truncate", "at_byte": 1000, "consistent": True})
    short = (await caller.http.get(url)).content
    await caller.script({"kind": "file", "fault": "truncate", "at_byte": 1000})

    assert short == whole[:1000]
    with pytest.raises(httpx.ReadError):
        await caller.http.get(url)


async def test_truncated_part_resumes(result: Result) -> None:
    """A part can break off as well, and the next part goes on from there."""
    await result.caller.script({"kind": "file", "fault": "truncate", "at_byte": 500, "times": 2})
    content = b""

    for _ in range(3):
        headers = {"Range": f"bytes={len(content)}-"}
        async with result.caller.http.stream("GET", result.url, headers=headers) as answer:
            try:
                async for chunk in answer.aiter_bytes():
                    content += chunk
            except httpx.RemoteProtocolError:
                assert len(content) % 500 == 0

    assert content == result.content


async def test_nothing_follows_end() -> None:
    """An answer that goes on after its last byte is not passed on."""
    messages: list[Message] = []

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        for last in (False, False, True):
            await send({"type": "http.response.body", "body": b"123", "more_body": not last})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    await Clipped(answer, sent=lambda _: 4, declared=lambda _: 4)({"method": "GET"}, receive, send)

    assert [message.get("body") for message in messages] == [None, b"123", b"1"]
    assert [message.get("more_body") for message in messages] == [None, True, False]


async def test_length_too_long(result: Result) -> None:
    """A file can promise more than comes."""
    declared, content = await result.received("wrong-length", by=10)

    assert declared == len(result.content) + 10
    assert content == result.content


async def test_length_too_short(result: Result) -> None:
    """A file can promise less than it has."""
    answer = await result.get("wrong-length", by=-10)

    assert answer.content == result.content[:-10]


async def test_length_wrong_in_head(result: Result) -> None:
    """HEAD lies as GET does, and is answered."""
    await result.caller.script({"kind": "file", "fault": "wrong-length", "by": 10})

    answer = await result.caller.http.head(result.url)

    assert int(answer.headers["content-length"]) == len(result.content) + 10


@pytest.mark.parametrize("count", [1, 5])
async def test_bits_flipped(result: Result, count: int) -> None:
    """Single bits can be wrong, the same ones each time."""
    first, second = await result.get("flip-bits", count=count), await result.get("flip-bits", count=count)
    other = await result.get("flip-bits", count=count, seed=1)

    flipped = sum((one ^ two).bit_count() for one, two in zip(first.content, result.content, strict=True))
    assert flipped == count
    assert first.content == second.content != other.content


async def test_page_instead(result: Result) -> None:
    """A web page can come instead of a video."""
    answer = await result.get("html")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert b"<html" in answer.content or b"<!doctype html>" in answer.content


async def test_empty(result: Result) -> None:
    """A video can have no bytes."""
    answer = await result.get("empty")

    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "0", b"")


async def test_expired(result: Result) -> None:
    """A URL can expire before its time."""
    assert (await result.get("expired")).status_code == 403


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_refused(result: Result, status: int) -> None:
    """Any status can be the answer."""
    assert (await result.get("answer", status=status)).status_code == status


@pytest.mark.parametrize(
    ("fault", "error"), [("drop", httpx.RemoteProtocolError), ("hang", httpx.ReadTimeout)]
)
async def test_no_answer(result: Result, fault: str, error: type[Exception]) -> None:
    """A download can go without an answer."""
    result.caller.http.timeout = httpx.Timeout(0.2)

    with pytest.raises(error):
        await result.get(fault)


async def test_redirected(result: Result) -> None:
    """Another host can have the file, and the way there ends."""
    answer = await result.get("redirect")
    followed = await result.caller.http.get(answer.headers["location"])

    assert answer.status_code == 302
    assert httpx.URL(answer.headers["location"]).host == "localhost"
    assert followed.content == result.content


async def test_redirected_anywhere(result: Result) -> None:
    """The other host can be any."""
    answer = await result.get("redirect", to="https://cdn.example/film.mp4")

    assert answer.headers["location"] == "https://cdn.example/film.mp4"


async def test_drips(result: Result) -> None:
    """A file can come slowly, and whole."""
    asked_at = time.monotonic()
    answer = await result.get("drip", bytes_per_second=4 * len(result.content))

    assert answer.content == result.content
    assert 0.1 < time.monotonic() - asked_at < 1


async def test_huge_but_valid(result: Result) -> None:
    """A file can be far too long and still play."""
    answer = await result.get("huge", megabytes=3)

    assert len(answer.content) == len(result.content) + 3_000_000
    with av.open(io.BytesIO(answer.content), "r") as container:
        assert sum(1 for _ in container.decode(video=0)) == 8


@pytest.mark.parametrize("fault", ["no-range", "huge"])
async def test_range_ignored(result: Result, fault: str) -> None:
    """A host can know no ranges."""
    answer = await result.get(fault, wanted="bytes=10-", **({"megabytes": 1} if fault == "huge" else {}))

    assert answer.status_code == 200
    assert "accept-ranges" not in answer.headers
    assert answer.content.startswith(result.content)


async def test_client_leaves_early(result: Result) -> None:
    """A client that gives up a slow download leaves nothing behind."""
    await result.caller.script({"kind": "file", "fault": "drip", "bytes_per_second": 100})

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await result.caller.http.get(result.url)

    assert (await result.caller.http.get("/sandbox/books")).status_code == 200
