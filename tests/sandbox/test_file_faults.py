"""Faults of downloads."""

import asyncio
import io
import time
from collections.abc import Callable
from dataclasses import dataclass

import av
import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from prefect_seedance.sandbox.faults.tampering import Truncated
from tests.sandbox.conftest import Client


@dataclass
class Result:
    """A result video with its URL and expected content."""

    caller: Client
    url: str
    content: bytes

    async def get(self, fault: str, *, wanted: str = "", **parameters: object) -> httpx.Response:
        """Download the result under a fault."""
        await self.caller.script({"kind": "file", "fault": fault, **parameters})
        return await self.caller.http.get(self.url, headers={"Range": wanted} if wanted else {})

    async def received(self, fault: str, **parameters: object) -> tuple[int, bytes]:
        """Return the declared length, and the bytes received before the connection closed."""
        await self.caller.script({"kind": "file", "fault": fault, **parameters})
        content = bytearray()

        async def read(response: httpx.Response) -> None:
            async for chunk in response.aiter_bytes():
                content.extend(chunk)

        async with self.caller.http.stream("GET", self.url) as response:
            with pytest.raises(httpx.RemoteProtocolError):
                await read(response)
        return int(response.headers["content-length"]), bytes(content)


@pytest.fixture
async def result(api: Client) -> Result:
    url = await api.video_url()
    return Result(api, url, (await api.http.get(url)).content)


@pytest.mark.parametrize(
    ("position", "length"),
    [
        pytest.param({"at_byte": 0}, lambda _: 0, id="first byte"),
        pytest.param({"at_byte": 1000}, lambda _: 1000, id="byte 1000"),
        pytest.param({"at_share": 0.5}, lambda whole: whole // 2, id="half"),
    ],
)
async def test_truncated(result: Result, position: dict[str, object], length: Callable[[int], int]) -> None:
    """A truncated download closes the connection at the given position."""
    declared, content = await result.received("truncate", **position)

    assert declared == len(result.content)
    assert content == result.content[: length(declared)]


@pytest.mark.parametrize("kept", [0, 1000, 70_000])
async def test_truncated_consistently(result: Result, kept: int) -> None:
    """A consistently truncated download declares the shorter length."""
    response = await result.get("truncate", at_byte=kept, consistent=True)

    assert response.status_code == 200
    assert response.content == result.content[:kept]
    assert int(response.headers["content-length"]) == kept < len(result.content)


async def test_truncated_without_server(in_process: Callable[..., Client]) -> None:
    """Without a real connection, httpx raises a read error for a truncated download."""
    caller = in_process()
    url = await caller.video_url()
    whole = (await caller.http.get(url)).content

    await caller.script({"kind": "file", "fault": "truncate", "at_byte": 1000, "consistent": True})
    short = (await caller.http.get(url)).content
    await caller.script({"kind": "file", "fault": "truncate", "at_byte": 1000})

    assert short == whole[:1000]
    with pytest.raises(httpx.ReadError):
        await caller.http.get(url)


async def test_truncated_part_resumes(result: Result) -> None:
    """A truncated range request can be resumed with another range request."""
    await result.caller.script({"kind": "file", "fault": "truncate", "at_byte": 500, "times": 2})
    content = b""

    for _ in range(3):
        headers = {"Range": f"bytes={len(content)}-"}
        async with result.caller.http.stream("GET", result.url, headers=headers) as response:
            try:
                async for chunk in response.aiter_bytes():
                    content += chunk
            except httpx.RemoteProtocolError:
                assert len(content) % 500 == 0

    assert content == result.content


async def test_nothing_follows_end() -> None:
    """A truncated response ignores messages after its last byte."""
    messages: list[Message] = []

    async def response(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        for last in (False, False, True):
            await send({"type": "http.response.body", "body": b"123", "more_body": not last})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    await Truncated(response, sent=lambda _: 4, declared=lambda _: 4)({"method": "GET"}, receive, send)

    assert [message.get("body") for message in messages] == [None, b"123", b"1"]
    assert [message.get("more_body") for message in messages] == [None, True, False]


async def test_length_too_long(result: Result) -> None:
    """A response can declare more bytes than it sends."""
    declared, content = await result.received("wrong-length", by=10)

    assert declared == len(result.content) + 10
    assert content == result.content


async def test_length_too_short(result: Result) -> None:
    """A response can declare fewer bytes than the file has."""
    response = await result.get("wrong-length", by=-10)

    assert response.content == result.content[:-10]


async def test_length_wrong_in_head(result: Result) -> None:
    """HEAD declares the same wrong length as GET."""
    await result.caller.script({"kind": "file", "fault": "wrong-length", "by": 10})

    response = await result.caller.http.head(result.url)

    assert int(response.headers["content-length"]) == len(result.content) + 10


@pytest.mark.parametrize("count", [1, 5])
async def test_bits_flipped(result: Result, count: int) -> None:
    """Some bits are inverted, the same ones for the same seed."""
    first, second = await result.get("flip-bits", count=count), await result.get("flip-bits", count=count)
    other = await result.get("flip-bits", count=count, seed=1)

    flipped = sum((one ^ two).bit_count() for one, two in zip(first.content, result.content, strict=True))
    assert flipped == count
    assert first.content == second.content != other.content


async def test_page_instead(result: Result) -> None:
    """The response can be a web page instead of a video."""
    response = await result.get("html")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert b"<html" in response.content or b"<!doctype html>" in response.content


async def test_empty(result: Result) -> None:
    """The response can be empty."""
    response = await result.get("empty")

    assert (response.status_code, response.headers["content-length"], response.content) == (200, "0", b"")


async def test_expired(result: Result) -> None:
    """A URL can expire early."""
    assert (await result.get("expired")).status_code == 403


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_refused(result: Result, status: int) -> None:
    """The response can have any error status."""
    assert (await result.get("answer", status=status)).status_code == status


@pytest.mark.parametrize(
    ("fault", "error"), [("drop", httpx.RemoteProtocolError), ("hang", httpx.ReadTimeout)]
)
async def test_no_response(result: Result, fault: str, error: type[Exception]) -> None:
    """A download can receive no response."""
    result.caller.http.timeout = httpx.Timeout(0.2)

    with pytest.raises(error):
        await result.get(fault)


async def test_redirected(result: Result) -> None:
    """A redirect leads to another host, which serves the file."""
    response = await result.get("redirect")
    followed = await result.caller.http.get(response.headers["location"])

    assert response.status_code == 302
    assert httpx.URL(response.headers["location"]).host == "localhost"
    assert followed.content == result.content


async def test_redirected_anywhere(result: Result) -> None:
    """A redirect can lead to any URL."""
    response = await result.get("redirect", to="https://cdn.example/film.mp4")

    assert response.headers["location"] == "https://cdn.example/film.mp4"


async def test_slow_download(result: Result) -> None:
    """A slow download is complete."""
    started_at = time.monotonic()
    response = await result.get("drip", bytes_per_second=4 * len(result.content))

    assert response.content == result.content
    assert time.monotonic() - started_at > 0.1


async def test_huge_but_valid(result: Result) -> None:
    """A huge file is still a valid video."""
    response = await result.get("huge", megabytes=3)

    assert len(response.content) == len(result.content) + 3_000_000
    with av.open(io.BytesIO(response.content), "r") as container:
        assert sum(1 for _ in container.decode(video=0)) == 8


@pytest.mark.parametrize("fault", ["no-range", "huge"])
async def test_range_ignored(result: Result, fault: str) -> None:
    """A host can ignore range requests."""
    response = await result.get(fault, wanted="bytes=10-", **({"megabytes": 1} if fault == "huge" else {}))

    assert response.status_code == 200
    assert "accept-ranges" not in response.headers
    assert response.content.startswith(result.content)


async def test_client_disconnects_early(result: Result) -> None:
    """The sandbox keeps working after a client aborts a slow download."""
    await result.caller.script({"kind": "file", "fault": "drip", "bytes_per_second": 100})

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await result.caller.http.get(result.url)

    assert (await result.caller.http.get("/sandbox/books")).status_code == 200
