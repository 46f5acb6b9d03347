"""Show how much money the account has left."""

import asyncio
import json as jsons
from contextlib import suppress
from decimal import Decimal
from typing import Final

from cyclopts import App

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.cli.options import PLAIN, Account, Json
from prefect_seedance.cli.printing import show
from prefect_seedance.errors import SeedanceError

app = App(name="balance", default_parameter=PLAIN)

_SECONDS: Final = 5.0
"""Bound of reading the balance where it is only a remark."""


@app.default
def balance(*, account: Account = Account(), json: Json = False) -> int:
    """Show how much money the account has left, in US dollars."""
    amount = asyncio.run(_read(account))
    show(jsons.dumps({"balance": str(amount), "currency": "USD"}) if json else f"{amount:,} USD")
    return 0


async def _read(account: Account) -> Decimal:
    async with await account.client() as client:
        return await client.balance()


async def balance_if_known(credentials: Credentials) -> Decimal | None:
    """Return the balance of an account; None if it cannot be read."""
    with suppress(SeedanceError, TimeoutError):
        async with asyncio.timeout(_SECONDS), credentials.get_client() as client:
            return await client.balance(seconds=0)
    return None
