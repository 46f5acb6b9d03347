import asyncio

import pytest
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from prefect_seedance.api.account import account_name
from prefect_seedance.errors import ConnectionFailedError
from prefect_seedance.orchestration.account_limit import AccountLimit
from tests.orchestration.limits import PAGE, Limits

CREDENTIALS = SeedanceCredentials(api_key=SecretStr("secret"), base_url="https://api.example.com")
NAME = account_name("https://api.example.com", "secret")


def test_limit_of_another_process_is_kept(limits: Limits) -> None:
    """If another process creates the limit at the same time, it is kept, with its size."""

    def create(path: str) -> None:
        if path.endswith("/concurrency_limits/"):
            limits.create(NAME, size=7)

    limits.before = create

    async def create_limit() -> AccountLimit:
        planned = await AccountLimit.plan(CREDENTIALS)
        return await planned.carry_out()

    assert asyncio.run(create_limit()) == (NAME, "keep", 7)


def test_planning_creates_nothing(limits: Limits) -> None:
    """A plan says which limit would be created, and sends no request that changes the server."""
    assert asyncio.run(AccountLimit.plan(CREDENTIALS)) == (NAME, "create", 1_000)

    assert not limits.sizes.keys() & {NAME}


def test_page_is_no_answer(limits: Limits) -> None:
    """If a proxy answers with a page, the server has not said whether there is a limit."""
    limits.instead["/"] = PAGE

    with pytest.raises(ConnectionFailedError, match="otherwise than a Prefect server"):
        asyncio.run(AccountLimit.plan(CREDENTIALS))
