"""Faults of submissions, as a plain client meets them."""

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest

from tests.sandbox.conftest import Caller, text_input

BODY = {"input": text_input()}


async def accepted(caller: Caller) -> int:
    return (await caller.totals())["accepted"]


@pytest.mark.parametrize(("fault", "paid"), [("drop", 0), ("accept-then-drop", 1)])
@pytest.mark.parametrize(
    ("reset", "error"),
    [(False, httpx.RemoteProtocolError), (True, httpx.ReadError)],
    ids=["orderly", "reset"],
)
async def test_dropped(there: Caller, fault: str, paid: int, *, reset: bool, error: type[Exception]) -> None:
    """The connection closes without an answer, before or after the generation has begun."""
    await there.script({"kind": "submit", "fault": fault, "reset": reset})

    with pytest.raises(error):
        await there.post(BODY)

    assert await accepted(there) == paid


@pytest.mark.parametrize(("fault", "paid"), [("hang", 0), ("accept-then-hang", 1)])
async def test_hung(there: Caller, fault: str, paid: int) -> None:
    """No answer comes while the client waits."""
    await there.script({"kind": "submit", "fault": fault})

    with pytest.raises(httpx.ReadTimeout):
        await there.post(BODY, timeout_seconds=0.1)

    assert await accepted(there) == paid


async def test_hung_for_a_while(there: Caller) -> None:
    """A hanging connection closes when its time is over."""
    await there.script({"kind": "submit", "fault": "hang", "seconds": 0.1})

    with pytest.raises(httpx.RemoteProtocolError):
        await there.post(BODY)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500, 502, 503, 504])
async def test_rejected(there: Caller, status: int) -> None:
    """Any status can be the answer, and nothing has begun."""
    await there.script({"kind": "submit", "fault": "answer", "status": status})

    answer = await there.post(BODY)

    assert answer.status_code == answer.json()["code"] == status
    assert answer.json()["data"] is None
    assert "retry-after" not in answer.headers
    assert await accepted(there) == 0


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_accepted_and_failed(there: Caller, status: int) -> None:
    """A server error can hide a generation that has begun."""
    await there.script({"kind": "submit", "fault": "accept-then-answer", "status": status})

    assert (await there.post(BODY)).status_code == status
    assert await accepted(there) == 1


@pytest.mark.parametrize("value", [7, "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_retry_after_sent(there: Caller, value: int | str) -> None:
    """A refusal can say when to come again, in seconds or as a date."""
    await there.script({"kind": "submit", "fault": "answer", "status": 429, "retry_after": value})

    assert (await there.post(BODY)).headers["retry-after"] == str(value)


@pytest.mark.parametrize(("fault", "paid"), [("garbage", 0), ("accept-then-garbage", 1)])
async def test_garbled(there: Caller, fault: str, paid: int) -> None:
    """An answer can be no JSON."""
    await there.script({"kind": "submit", "fault": fault})

    answer = await there.post(BODY)

    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"utf-8|delimiter|control"):
        answer.json()
    assert await accepted(there) == paid


@pytest.mark.parametrize(("fault", "paid"), [("hidden-code", 0), ("accept-then-hidden-code", 1)])
async def test_code_hidden(there: Caller, fault: str, paid: int) -> None:
    """An HTTP 200 can carry another code."""
    await there.script({"kind": "submit", "fault": fault, "code": 500})

    answer = await there.post(BODY)

    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (200, 500, None)
    assert await accepted(there) == paid


async def test_id_missing(there: Caller) -> None:
    """An acceptance can come without an id."""
    await there.script({"kind": "submit", "fault": "accept-without-id"})

    answer = await there.post(BODY)

    assert answer.json() == {"code": 200, "message": "success", "data": {}}
    assert await accepted(there) == 1


async def test_slow_but_fine(there: Caller) -> None:
    """A slow answer is an answer."""
    await there.script({"kind": "submit", "fault": "slow", "seconds": 0.2})

    asked_at = time.monotonic()
    answer = await there.post(BODY)

    assert answer.json()["data"]["taskId"]
    assert time.monotonic() - asked_at >= 0.2


@pytest.mark.parametrize("fault", ["accept-then-drop", "accept-without-id"])
async def test_refusal_stays(there: Caller, fault: str) -> None:
    """What the API refuses anyway is not accepted for a fault's sake."""
    await there.script({"kind": "submit", "fault": fault})

    assert (await there.post({"input": {}})).status_code == 400
    assert await accepted(there) == 0


async def test_works_without_server(here: Callable[..., Caller]) -> None:
    """Without a connection to close, httpx tells of a broken one all the same."""
    caller = here()
    await caller.script({"kind": "submit", "fault": "accept-then-drop"})

    with pytest.raises(httpx.ReadError):
        await caller.post(BODY)

    assert await accepted(caller) == 1


async def test_many_hang_at_once(there: Caller) -> None:
    """Connections that hang do not keep others waiting."""
    await there.script({"kind": "submit", "fault": "accept-then-hang", "clip": "stuck"})
    stuck = [
        asyncio.ensure_future(there.post({"input": text_input(prompt="stuck")}, timeout_seconds=1))
        for _ in range(20)
    ]

    await there.film_url(prompt="free")

    assert {type(error) for error in await asyncio.gather(*stuck, return_exceptions=True)} == {
        httpx.ReadTimeout
    }
