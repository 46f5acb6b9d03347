"""Faults of generations and their callbacks."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.conftest import Caller

Receive = Callable[..., Any]


def by_callback(url: str) -> dict[str, object]:
    return {"request_type": "callback", "callback_url": url}


@pytest.mark.parametrize("code", ["CONTENT_VIOLATION", "GENERATION_FAILED", "SOMETHING_NEW"])
async def test_generation_fails(there: Caller, code: str) -> None:
    """A generation can fail with any code, and is billed."""
    await there.script({"kind": "generation", "fault": "fail", "code": code, "message": "no such luck"})

    status = await there.ended(await there.submit())

    assert (status["state"], status["failCode"], status["failMsg"]) == ("failed", code, "no such luck")
    assert (await there.books())["generations"][0]["fail_code"] == code
    assert (await there.totals())["paid_seconds"] == 4


async def test_generation_takes_longer(there: Caller) -> None:
    """A generation can take many times as long as usual."""
    await there.script({"kind": "generation", "fault": "take-longer", "factor": 8})

    status = await there.ended(await there.submit())

    assert 8 * 40 <= status["costTime"] <= 8 * 60 + 200


async def test_generation_never_ends(there: Caller) -> None:
    """A generation can stay in processing."""
    await there.script({"kind": "generation", "fault": "never-end"})
    task_id = await there.submit()

    await asyncio.sleep(0.3)

    assert (await there.status(task_id))["state"] == "processing"


async def test_two_results(there: Caller) -> None:
    """A generation can have two results, both of them files."""
    await there.script({"kind": "generation", "fault": "two-urls"})

    status = await there.ended(await there.submit())
    urls = json.loads(status["resultJson"])["resultUrls"]

    assert len(set(urls)) == 2
    assert [(await there.http.get(url)).status_code for url in urls] == [200, 200]


async def test_callback_delivered(there: Caller, receive: Receive) -> None:
    """Without faults one callback comes, with the envelope of a status answer and without a key."""
    receiver, url = await receive()

    task_id = await there.submit(by_callback(url))
    await receiver.has(1)

    assert receiver.bodies == [(await there.read(task_id)).json()]
    assert receiver.bodies[0]["data"]["state"] == "success"
    assert b"authorization" not in receiver.requests[0].lower()
    assert b"application/json" in receiver.requests[0].lower()
    [attempt] = (await there.books())["generations"][0]["callbacks"]
    assert attempt["outcome"] == 200


async def test_failure_called_back(there: Caller, receive: Receive) -> None:
    """A failure is an end too."""
    await there.script({"kind": "generation", "fault": "fail", "code": "NSFW"})
    receiver, url = await receive()

    await there.submit(by_callback(url))
    await receiver.has(1)

    assert receiver.bodies[0]["data"]["failCode"] == "NSFW"


async def test_no_callback_unasked(there: Caller, receive: Receive) -> None:
    """A polled generation calls nobody, even if it names a URL."""
    receiver, url = await receive()

    await there.ended(await there.submit({"callback_url": url}))
    await asyncio.sleep(0.05)

    assert receiver.bodies == []


async def test_callback_redelivered(there: Caller, receive: Receive) -> None:
    """A callback that is not taken comes again with growing gaps, four times in all."""
    receiver, url = await receive(500, 404, 302, 503, 503)

    await there.submit(by_callback(url))
    await receiver.has(4)
    await asyncio.sleep(0.3)

    gaps = [later - earlier for earlier, later in zip(receiver.moments, receiver.moments[1:], strict=False)]
    assert len(receiver.bodies) == 4
    assert 0.03 <= gaps[0] < gaps[1] < gaps[2]
    outcomes = [attempt["outcome"] for attempt in (await there.books())["generations"][0]["callbacks"]]
    assert outcomes == [500, 404, 302, 503]


async def test_callback_to_nobody(there: Caller) -> None:
    """A receiver that is not there is noted, and the generation ends all the same."""
    task_id = await there.submit(by_callback("http://127.0.0.1:1/hook"))

    await there.ended(task_id)
    await asyncio.sleep(0.05)

    attempts = (await there.books())["generations"][0]["callbacks"]
    assert attempts[0]["outcome"] == "ConnectError"


async def test_callback_never_comes(there: Caller, receive: Receive) -> None:
    """A callback can be lost."""
    await there.script({"kind": "callback", "fault": "never"})
    receiver, url = await receive()

    await there.ended(await there.submit(by_callback(url)))
    await asyncio.sleep(0.05)

    assert receiver.bodies == []


async def test_callback_comes_twice(there: Caller, receive: Receive) -> None:
    """A callback can come twice though it was taken."""
    await there.script({"kind": "callback", "fault": "twice"})
    receiver, url = await receive()

    await there.submit(by_callback(url))
    await receiver.has(2)

    assert receiver.bodies[0] == receiver.bodies[1]


async def test_callback_comes_late(there: Caller, receive: Receive) -> None:
    """A callback can come long after the end."""
    await there.script({"kind": "callback", "fault": "late", "seconds": 0.3})
    receiver, url = await receive()

    await there.ended(await there.submit(by_callback(url)))
    early = len(receiver.bodies)
    await receiver.has(1)

    assert early == 0


async def test_callbacks_change_places(there: Caller, receive: Receive) -> None:
    """A callback can be overtaken by that of a later generation."""
    await there.script({"kind": "callback", "fault": "reorder", "nth": 1})
    receiver, url = await receive()

    first = await there.submit(by_callback(url))
    await there.ended(first)
    second = await there.submit(by_callback(url), prompt="a later clip")
    await receiver.has(2)

    assert [body["data"]["taskId"] for body in receiver.bodies] == [second, first]


async def test_callback_waits_in_vain(there: Caller, receive: Receive) -> None:
    """A callback that nobody overtakes comes in the end."""
    await there.script({"kind": "callback", "fault": "reorder", "at_most_seconds": 0.1})
    receiver, url = await receive()

    await there.submit(by_callback(url))
    await receiver.has(1)

    assert len(receiver.bodies) == 1


async def test_callback_before_answer(there: Caller, receive: Receive) -> None:
    """A callback can be there before the submit is answered."""
    await there.script({"kind": "callback", "fault": "before-answer"})
    receiver, url = await receive()

    task_id = await there.submit(by_callback(url))

    assert [body["data"]["taskId"] for body in receiver.bodies] == [task_id]


async def test_forger_posts_first(there: Caller, receive: Receive) -> None:
    """Somebody else can claim that all is over, under an id of his own, before the callback comes."""
    await there.script({"kind": "callback", "fault": "forge", "posts": 2})
    receiver, url = await receive()

    task_id = await there.submit(by_callback(url))
    await receiver.has(3)

    assert [body["data"]["taskId"] for body in receiver.bodies] == ["task_forged"] * 2 + [task_id]


async def test_callback_header_noticed(there: Caller) -> None:
    """A receiver that sends a key back is noted."""

    async def leak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nAuthorization: Bearer x\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(leak, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        await there.script({"kind": "callback", "fault": "before-answer"})
        await there.submit(by_callback(url))

    assert (await there.books())["foreign_headers"][0]["where"] == "callback"
