import asyncio

import pytest
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from prefect_seedance.api.account import account_name
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.account_limit import limit_account
from tests.orchestration.limits import PAGE, Limits

CREDENTIALS = SeedanceCredentials(api_key=SecretStr("secret"), base_url="https://api.example.com")
NAME = account_name("https://api.example.com", "secret")


def test_limit_of_another_process_is_kept(limits: Limits) -> None:
    """If another process creates the limit at the same time, it is kept, with its size."""

    def create(path: str) -> None:
        if path.endswith("/concurrency_limits/"):
            limits.create(NAME, size=7)

    limits.before = create

    assert asyncio.run(limit_account(CREDENTIALS)) == (NAME, "keep", 7)


def test_page_creates_no_limit(limits: Limits) -> None:
    """If a proxy answers, the error says that the server failed."""
    limits.instead["/"] = PAGE

    with pytest.raises(SetupError, match="The Prefect server failed"):
        asyncio.run(limit_account(CREDENTIALS))
    assert not limits.sizes.keys() & {NAME}
