"""Faults of generations and their callbacks."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.conftest import TIMEOUT_SECONDS, Client

Receive = Callable[..., Any]


def by_callback(url: str) -> dict[str, object]:
    return {"request_type": "callback", "callback_url": url}


@pytest.mark.parametrize("code", ["CONTENT_VIOLATION", "GENERATION_FAILED", "SOMETHING_NEW"])
async def test_generation_fails(api: Client, code: str) -> None:
    """A generation can fail with any code, and is billed nevertheless."""
    await api.script({"kind": "generation", "fault": "fail", "code": code, "message": "no such luck"})

    status = await api.ended(await api.submit())

    assert (status["state"], status["failCode"], status["failMsg"]) == ("failed", code, "no such luck")
    assert (await api.books())["generations"][0]["fail_code"] == code
    assert (await api.totals())["paid_seconds"] == 4


async def test_generation_takes_longer(api: Client) -> None:
    """Processing can take a multiple of the usual time."""
    await api.script({"kind": "generation", "fault": "take-longer", "factor": 8})

    status = await api.ended(await api.submit())

    assert status["costTime"] >= 8 * 40


async def test_generation_never_ends(api: Client) -> None:
    """A generation can stay in processing forever."""
    await api.script({"kind": "generation", "fault": "never-end"})
    task_id = await api.submit()

    await api.until(task_id, "processing")
    await asyncio.sleep(0.3)

    assert (await api.status(task_id))["state"] == "processing"


async def test_two_results(api: Client) -> None:
    """A generation can have two results with one file each."""
    await api.script({"kind": "generation", "fault": "two-urls"})

    status = await api.ended(await api.submit())
    urls = json.loads(status["resultJson"])["resultUrls"]

    assert len(set(urls)) == 2
    assert [(await api.http.get(url)).status_code for url in urls] == [200, 200]


async def delivered(api: Client, *, count: int) -> list[object]:
    """Wait until the first generation's callback has been posted that often, and return the outcomes."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(attempts := (await api.books())["generations"][0]["callbacks"]) < count:
            await asyncio.sleep(0.01)
    return [attempt["outcome"] for attempt in attempts]


async def test_callback_delivered(api: Client, receive: Receive) -> None:
    """Without faults the sandbox posts one callback, with the envelope of a status and without a key."""
    receiver, url = await receive()

    task_id = await api.submit(by_callback(url))
    await receiver.has(1)

    assert receiver.bodies == [(await api.read(task_id)).json()]
    assert receiver.bodies[0]["data"]["state"] == "success"
    assert b"authorization" not in receiver.requests[0].lower()
    assert b"application/json" in receiver.requests[0].lower()
    [attempt] = (await api.books())["generations"][0]["callbacks"]
    assert attempt["outcome"] == 200


async def test_failure_delivered(api: Client, receive: Receive) -> None:
    """A failed generation posts a callback."""
    await api.script({"kind": "generation", "fault": "fail", "code": "NSFW"})
    receiver, url = await receive()

    await api.submit(by_callback(url))
    await receiver.has(1)

    assert receiver.bodies[0]["data"]["failCode"] == "NSFW"


async def test_no_callback_when_polled(api: Client, receive: Receive) -> None:
    """A polled generation posts no callback, even with a callback URL."""
    receiver, url = await receive()

    await api.ended(await api.submit({"callback_url": url}))
    await asyncio.sleep(0.05)

    assert receiver.bodies == []


async def test_callback_redelivered(api: Client, receive: Receive) -> None:
    """A callback not answered with 200 is posted four times in total, with growing gaps."""
    receiver, url = await receive(500, 404, 302, 503, 503)

    await api.submit(by_callback(url))
    await receiver.has(4)
    outcomes = await delivered(api, count=4)
    await asyncio.sleep(0.3)

    gaps = [later - earlier for earlier, later in zip(receiver.times, receiver.times[1:], strict=False)]
    assert len(receiver.bodies) == 4
    assert [gap >= least for gap, least in zip(gaps, (0.03, 0.06, 0.12), strict=True)] == [True] * 3
    assert outcomes == [500, 404, 302, 503]


async def test_receiver_unreachable(api: Client) -> None:
    """An unreachable receiver is recorded, and the generation still ends."""
    task_id = await api.submit(by_callback("http://127.0.0.1:1/hook"))

    await api.ended(task_id)

    assert (await delivered(api, count=1))[0] == "ConnectError"


async def test_callback_lost(api: Client, receive: Receive) -> None:
    """A callback can be omitted."""
    await api.script({"kind": "callback", "fault": "never"})
    receiver, url = await receive()

    await api.ended(await api.submit(by_callback(url)))
    await asyncio.sleep(0.05)

    assert receiver.bodies == []


async def test_callback_duplicated(api: Client, receive: Receive) -> None:
    """A callback can be posted twice although the first was answered with 200."""
    await api.script({"kind": "callback", "fault": "twice"})
    receiver, url = await receive()

    await api.submit(by_callback(url))
    await receiver.has(2)

    assert receiver.bodies[0] == receiver.bodies[1]


async def test_callback_late(api: Client, receive: Receive) -> None:
    """A callback can be posted long after the end."""
    await api.script({"kind": "callback", "fault": "late", "seconds": 0.3})
    receiver, url = await receive()

    await api.ended(await api.submit(by_callback(url)))
    early = len(receiver.bodies)
    await receiver.has(1)

    assert early == 0


async def test_callbacks_reordered(api: Client, receive: Receive) -> None:
    """A callback can be posted after that of a later generation."""
    await api.script({"kind": "callback", "fault": "reorder", "nth": 1})
    receiver, url = await receive()

    first = await api.submit(by_callback(url))
    await api.ended(first)
    second = await api.submit(by_callback(url), prompt="a later clip")
    await receiver.has(2)

    assert [body["data"]["taskId"] for body in receiver.bodies] == [second, first]


async def test_reorder_times_out(api: Client, receive: Receive) -> None:
    """A reordered callback is posted after its maximum wait."""
    await api.script({"kind": "callback", "fault": "reorder", "at_most_seconds": 0.1})
    receiver, url = await receive()

    await api.submit(by_callback(url))
    await receiver.has(1)

    assert len(receiver.bodies) == 1


async def test_callback_before_answer(api: Client, receive: Receive) -> None:
    """A callback can arrive before the response to the submission."""
    await api.script({"kind": "callback", "fault": "before-answer"})
    receiver, url = await receive()

    task_id = await api.submit(by_callback(url))

    assert [body["data"]["taskId"] for body in receiver.bodies] == [task_id]


async def test_forged_callbacks_first(api: Client, receive: Receive) -> None:
    """Forged callbacks with another id can arrive before the real one."""
    await api.script({"kind": "callback", "fault": "forge", "posts": 2})
    receiver, url = await receive()

    task_id = await api.submit(by_callback(url))
    await receiver.has(3)

    assert [body["data"]["taskId"] for body in receiver.bodies] == ["task_forged"] * 2 + [task_id]


async def test_callback_header_recorded(api: Client) -> None:
    """A receiver that responds with an API header is recorded."""

    async def leak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nAuthorization: Bearer x\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(leak, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        await api.script({"kind": "callback", "fault": "before-answer"})
        await api.submit(by_callback(url))

    assert (await api.books())["foreign_headers"][0]["where"] == "callback"
