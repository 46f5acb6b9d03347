"""Faults of status reads, as a plain client meets them."""

import asyncio
import json

import httpx
import pytest

from tests.sandbox.conftest import Caller


async def test_not_found_for_a_while(there: Caller) -> None:
    """A new id can be unknown at first."""
    await there.script(
        {"kind": "status", "fault": "answer", "status": 404, "since": "acceptance", "until_seconds": 0.2}
    )
    task_id = await there.submit()

    early = await there.read(task_id)
    await asyncio.sleep(0.2)
    late = await there.read(task_id)

    assert (early.status_code, late.status_code) == (404, 200)


async def test_outage_has_an_end(there: Caller) -> None:
    """Everything can be out of order for a time."""
    task_id = await there.submit()
    await there.script(
        {"kind": "status", "fault": "answer", "status": 503, "after_seconds": 0.1, "until_seconds": 0.3}
    )

    codes = []
    for _ in range(3):
        codes.append((await there.read(task_id)).status_code)
        await asyncio.sleep(0.16)

    assert codes == [200, 503, 200]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_refused(there: Caller, status: int) -> None:
    """Any status can be the answer."""
    await there.script({"kind": "status", "fault": "answer", "status": status, "retry_after": 1, "times": 1})
    task_id = await there.submit()

    refused, fine = await there.read(task_id), await there.read(task_id)

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
async def test_no_answer(there: Caller, fault: dict[str, object], error: type[Exception]) -> None:
    """A read can go without an answer."""
    await there.script({"kind": "status", **fault})
    task_id = await there.submit()
    there.http.timeout = httpx.Timeout(0.1)

    with pytest.raises(error):
        await there.read(task_id)


async def test_garbled(there: Caller) -> None:
    """An answer can be no JSON."""
    await there.script({"kind": "status", "fault": "garbage"})

    with pytest.raises(ValueError, match=r"utf-8|delimiter|control"):
        (await there.read(await there.submit())).json()


async def test_code_hidden(there: Caller) -> None:
    """An HTTP 200 can carry another code."""
    await there.script({"kind": "status", "fault": "hidden-code", "code": 404})

    answer = await there.read(await there.submit())

    assert (answer.status_code, answer.json()["code"]) == (200, 404)


async def test_data_null(there: Caller) -> None:
    """An answer can say success and nothing else."""
    await there.script({"kind": "status", "fault": "null-data"})

    answer = await there.read(await there.submit())

    assert answer.json() == {"code": 200, "message": "success", "data": None}


async def test_state_unknown(there: Caller) -> None:
    """A state can be a word that nobody knows."""
    await there.script({"kind": "status", "fault": "unknown-state", "word": "paused"})

    assert (await there.status(await there.submit()))["state"] == "paused"


async def test_state_goes_back(there: Caller) -> None:
    """A generation that was processing can be pending again, and one that had ended can go on."""
    await there.script({"kind": "generation", "fault": "never-end", "clip": "never"})
    endless, ended = await there.submit(prompt="never ending"), await there.submit()
    await there.until(endless, "processing")
    await there.ended(ended)
    await there.script({"kind": "status", "fault": "step-back"})

    backward = [await there.status(endless), await there.status(ended)]

    assert [status["state"] for status in backward] == ["pending", "processing"]
    assert all(set(status) == {"taskId", "state", "createTime"} for status in backward)


@pytest.mark.parametrize(
    ("fault", "result"), [("no-urls", '{"resultUrls": []}'), ("broken-result", '{"resultUrls": ["http')]
)
async def test_result_useless(there: Caller, fault: str, result: str) -> None:
    """A success can lack its result, and reads before the success do not use the fault up."""
    await there.script({"kind": "status", "fault": fault, "times": 1})
    task_id = await there.submit()

    useless, useful = await there.ended(task_id), await there.status(task_id)

    assert useless["state"] == "success"
    assert useless["resultJson"] == result
    assert json.loads(useful["resultJson"])["resultUrls"]


async def test_one_state_chosen(there: Caller) -> None:
    """A rule can wait for a state."""
    await there.script({"kind": "status", "fault": "answer", "status": 500, "state": "success"})
    task_id = await there.submit()

    async with asyncio.timeout(5):
        while (answer := await there.read(task_id)).status_code == 200:
            assert answer.json()["data"]["state"] != "success"

    assert answer.status_code == 500
