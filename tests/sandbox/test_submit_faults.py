"""Faults of submissions, as a plain client triggers them."""

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest

from tests.sandbox.conftest import Client, text_input

BODY = {"input": text_input()}


async def accepted(caller: Client) -> int:
    return (await caller.totals())["accepted"]


@pytest.mark.parametrize(("fault", "paid"), [("drop", 0), ("accept-then-drop", 1)])
@pytest.mark.parametrize(
    ("reset", "error"),
    [(False, httpx.RemoteProtocolError), (True, httpx.ReadError)],
    ids=["orderly", "reset"],
)
async def test_dropped(api: Client, fault: str, paid: int, *, reset: bool, error: type[Exception]) -> None:
    """The connection closes without a response, before or after the generation starts."""
    await api.script({"kind": "submit", "fault": fault, "reset": reset})

    with pytest.raises(error):
        await api.post(BODY)

    assert await accepted(api) == paid


@pytest.mark.parametrize(("fault", "paid"), [("hang", 0), ("accept-then-hang", 1)])
async def test_hung(api: Client, fault: str, paid: int) -> None:
    """The sandbox sends no response while the client waits."""
    await api.script({"kind": "submit", "fault": fault})

    with pytest.raises(httpx.ReadTimeout):
        await api.post(BODY, timeout_seconds=0.1)

    assert await accepted(api) == paid


async def test_hung_for_a_while(api: Client) -> None:
    """A hanging connection closes after its time."""
    await api.script({"kind": "submit", "fault": "hang", "seconds": 0.1})

    with pytest.raises(httpx.RemoteProtocolError):
        await api.post(BODY)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500, 502, 503, 504])
async def test_rejected(api: Client, status: int) -> None:
    """The response can have any error status, and no generation starts."""
    await api.script({"kind": "submit", "fault": "answer", "status": status})

    response = await api.post(BODY)

    assert response.status_code == response.json()["code"] == status
    assert response.json()["data"] is None
    assert "retry-after" not in response.headers
    assert await accepted(api) == 0


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_accepted_and_failed(api: Client, status: int) -> None:
    """A server error can hide a started generation."""
    await api.script({"kind": "submit", "fault": "accept-then-answer", "status": status})

    assert (await api.post(BODY)).status_code == status
    assert await accepted(api) == 1


@pytest.mark.parametrize("value", [7, "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_retry_after_sent(api: Client, value: int | str) -> None:
    """A refusal can include Retry-After in seconds or as a date."""
    await api.script({"kind": "submit", "fault": "answer", "status": 429, "retry_after": value})

    assert (await api.post(BODY)).headers["retry-after"] == str(value)


@pytest.mark.parametrize(("fault", "paid"), [("garbage", 0), ("accept-then-garbage", 1)])
async def test_garbled(api: Client, fault: str, paid: int) -> None:
    """The response can be invalid JSON."""
    await api.script({"kind": "submit", "fault": fault})

    response = await api.post(BODY)

    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"utf-8|delimiter|control"):
        response.json()
    assert await accepted(api) == paid


@pytest.mark.parametrize(("fault", "paid"), [("hidden-code", 0), ("accept-then-hidden-code", 1)])
async def test_code_hidden(api: Client, fault: str, paid: int) -> None:
    """A response with HTTP 200 can contain an error code."""
    await api.script({"kind": "submit", "fault": fault, "code": 500})

    response = await api.post(BODY)

    assert (response.status_code, response.json()["code"], response.json()["data"]) == (200, 500, None)
    assert await accepted(api) == paid


async def test_id_missing(api: Client) -> None:
    """An acceptance can lack the id."""
    await api.script({"kind": "submit", "fault": "accept-without-id"})

    response = await api.post(BODY)

    assert response.json() == {"code": 200, "message": "success", "data": {}}
    assert await accepted(api) == 1


async def test_slow_but_fine(api: Client) -> None:
    """A slow response is valid."""
    await api.script({"kind": "submit", "fault": "slow", "seconds": 0.2})

    started_at = time.monotonic()
    response = await api.post(BODY)

    assert response.json()["data"]["taskId"]
    assert time.monotonic() - started_at >= 0.2


@pytest.mark.parametrize("fault", ["accept-then-drop", "accept-without-id"])
async def test_refusal_stays(api: Client, fault: str) -> None:
    """A fault does not accept a submission that the API refuses."""
    await api.script({"kind": "submit", "fault": fault})

    assert (await api.post({"input": {}})).status_code == 400
    assert await accepted(api) == 0


async def test_works_without_server(in_process: Callable[..., Client]) -> None:
    """Without a real connection, httpx raises a read error for a dropped one."""
    caller = in_process()
    await caller.script({"kind": "submit", "fault": "accept-then-drop"})

    with pytest.raises(httpx.ReadError):
        await caller.post(BODY)

    assert await accepted(caller) == 1


async def test_many_hang_at_once(api: Client) -> None:
    """Hanging connections do not block others."""
    await api.script({"kind": "submit", "fault": "accept-then-hang", "clip": "stuck"})
    stuck = [
        asyncio.ensure_future(api.post({"input": text_input(prompt="stuck")}, timeout_seconds=1))
        for _ in range(20)
    ]

    await api.video_url(prompt="free")

    assert {type(error) for error in await asyncio.gather(*stuck, return_exceptions=True)} == {
        httpx.ReadTimeout
    }
