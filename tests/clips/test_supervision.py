import asyncio

import pytest

from prefect_seedance.clips.supervision import supervise


async def test_cancellations_do_not_end_work() -> None:
    """Work goes to its end although its caller is cancelled in every step, and the caller ends cancelled."""
    ends: list[str] = []

    async def work() -> None:
        for _ in range(10):
            await asyncio.sleep(0.1)
        ends.append("work")

    caller = asyncio.create_task(supervise(work(), on_cancel=lambda: ends.append("cancelled")))
    while not caller.done():
        await asyncio.sleep(0)
        caller.cancel()

    assert caller.cancelled()
    assert ends[0] == "cancelled"
    assert "work" in ends


async def test_returns_and_raises() -> None:
    """Without a cancellation, the caller gets the result or the error."""

    async def work(number: int) -> int:
        if not number:
            raise ValueError("nothing")
        return number

    assert await supervise(work(7)) == 7
    with pytest.raises(ValueError, match="nothing"):
        await supervise(work(0))


async def test_error_of_stopped_work_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The cancellation is what the caller sees; an error of the work is logged."""

    async def work() -> None:
        await asyncio.sleep(1)
        raise ValueError("the disk is full")

    caller = asyncio.create_task(supervise(work()))
    await asyncio.sleep(0.5)
    caller.cancel()

    with pytest.raises(asyncio.CancelledError):
        await caller

    assert "the disk is full" in caplog.text
