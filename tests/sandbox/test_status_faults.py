"""Faults of status reads, as a plain client triggers them."""

import asyncio
import json

import httpx
import pytest

from tests.sandbox.conftest import Client


async def test_not_found_for_a_while(api: Client) -> None:
    """A new id can be unknown for a while."""
    unknown = {"kind": "status", "fault": "answer", "status": 404, "since": "acceptance"}
    task_id = await api.submit()

    await api.script({**unknown, "until_seconds": 60})
    early = await api.read(task_id)
    await asyncio.sleep(0.01)
    await api.script({**unknown, "until_seconds": 0.01})
    late = await api.read(task_id)

    assert (early.status_code, late.status_code) == (404, 200)


async def test_outage_ends(api: Client) -> None:
    """All reads can fail for a limited time."""
    outage = {"kind": "status", "fault": "answer", "status": 503}
    task_id = await api.submit()

    codes = []
    for begin, end in ((60, 70), (0, 60), (0.005, 0.01)):
        await api.script({**outage, "after_seconds": begin, "until_seconds": end})
        await asyncio.sleep(0.01)
        codes.append((await api.read(task_id)).status_code)

    assert codes == [200, 503, 200]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_refused(api: Client, status: int) -> None:
    """The response can have any error status."""
    await api.script({"kind": "status", "fault": "answer", "status": status, "retry_after": 1, "times": 1})
    task_id = await api.submit()

    refused, fine = await api.read(task_id), await api.read(task_id)

    assert refused.status_code == refused.json()["code"] == status
    assert refused.headers["retry-after"] == "1"
    assert fine.status_code == 200


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"fault": "drop"}, httpx.RemoteProtocolError),
        ({"fault": "drop", "reset": True}, httpx.ReadError),
        ({"fault": "hang"}, httpx.ReadTimeout),
        ({"fault": "slow", "seconds": 0.5}, httpx.ReadTimeout),
    ],
    ids=str,
)
async def test_no_response(api: Client, fault: dict[str, object], error: type[Exception]) -> None:
    """A read can receive no response."""
    await api.script({"kind": "status", **fault})
    task_id = await api.submit()
    api.http.timeout = httpx.Timeout(0.1)

    with pytest.raises(error):
        await api.read(task_id)


async def test_garbled(api: Client) -> None:
    """The response can be invalid JSON."""
    await api.script({"kind": "status", "fault": "garbage"})

    with pytest.raises(ValueError, match=r"utf-8|delimiter|control"):
        (await api.read(await api.submit())).json()


async def test_code_hidden(api: Client) -> None:
    """A response with HTTP 200 can contain an error code."""
    await api.script({"kind": "status", "fault": "hidden-code", "code": 404})

    response = await api.read(await api.submit())

    assert (response.status_code, response.json()["code"]) == (200, 404)


async def test_data_null(api: Client) -> None:
    """A response can report success without data."""
    await api.script({"kind": "status", "fault": "null-data"})

    response = await api.read(await api.submit())

    assert response.json() == {"code": 200, "message": "success", "data": None}


async def test_state_unknown(api: Client) -> None:
    """The state can be an unknown word."""
    await api.script({"kind": "status", "fault": "unknown-state", "word": "paused"})

    assert (await api.status(await api.submit()))["state"] == "paused"


async def test_state_goes_back(api: Client) -> None:
    """A generation can appear to return to an earlier state."""
    await api.script({"kind": "generation", "fault": "never-end", "clip": "never"})
    endless, ended = await api.submit(prompt="never ending"), await api.submit()
    await api.until(endless, "processing")
    await api.ended(ended)
    await api.script({"kind": "status", "fault": "step-back"})

    backward = [await api.status(endless), await api.status(ended)]

    assert [status["state"] for status in backward] == ["pending", "processing"]
    assert all(set(status) == {"taskId", "state", "createTime"} for status in backward)


@pytest.mark.parametrize(
    ("fault", "result"), [("no-urls", '{"resultUrls": []}'), ("broken-result", '{"resultUrls": ["http')]
)
async def test_result_useless(api: Client, fault: str, result: str) -> None:
    """A success can lack its result; earlier reads do not use up the fault."""
    await api.script({"kind": "status", "fault": fault, "times": 1})
    task_id = await api.submit()

    useless, useful = await api.ended(task_id), await api.status(task_id)

    assert useless["state"] == "success"
    assert useless["resultJson"] == result
    assert json.loads(useful["resultJson"])["resultUrls"]


async def test_rule_waits_for_state(api: Client) -> None:
    """A rule can apply to one state only."""
    await api.script({"kind": "status", "fault": "answer", "status": 500, "state": "success"})
    task_id = await api.submit()

    async with asyncio.timeout(5):
        while (response := await api.read(task_id)).status_code == 200:
            assert response.json()["data"]["state"] != "success"

    assert response.status_code == 500
