import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from prefect_seedance.api.account import account_name
from prefect_seedance.api.slots import Share, Slots
from prefect_seedance.orchestration.account_share import shared_account
from tests.flows.conftest import eventually
from tests.orchestration.limits import PAGE, Limits

CREDENTIALS = SeedanceCredentials(api_key=SecretStr("secret"), base_url="https://api.example.com")
NAME = account_name("https://api.example.com", "secret")


async def soon(read: Callable[[], object]) -> bool:
    return bool(await asyncio.to_thread(eventually, read, seconds=8))


def test_recreated_limit_is_shared_again(limits: Limits) -> None:
    """After the limit was deleted and created again, new runs share it, whatever the end of former runs."""
    limits.create(NAME, size=2)
    slots = Slots()
    slots.take()

    async def shares() -> list[Share | None]:
        async with AsyncExitStack() as former, AsyncExitStack() as new:
            await former.enter_async_context(shared_account(CREDENTIALS, slots))
            assert await soon(lambda: limits.taken[NAME] == 1)
            limits.delete(NAME)
            for _ in range(2):
                slots.take()
            assert await soon(lambda: slots.share is None)
            limits.create(NAME, size=2)
            await new.enter_async_context(shared_account(CREDENTIALS, slots))
            first = slots.share
            assert await soon(lambda: limits.taken[NAME] == 2)
            await former.aclose()
            await new.enter_async_context(shared_account(CREDENTIALS, slots))
            return [first, slots.share]

    first, second = asyncio.run(shares())

    assert first
    assert first is second
    assert eventually(lambda: slots.share is None and limits.taken[NAME] == 0, seconds=8)


def test_page_instead_of_limit(limits: Limits, caplog: pytest.LogCaptureFixture) -> None:
    """If a proxy answers instead, the run observes its own limits, and a warning is logged."""
    limits.instead[NAME] = PAGE
    slots = Slots()

    async def share() -> Share | None:
        async with shared_account(CREDENTIALS, slots):
            return slots.share

    assert asyncio.run(share()) is None
    assert "did not say whether it limits" in caplog.text
