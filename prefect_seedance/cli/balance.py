"""Show how much money the account has left."""

import asyncio
import json as jsons
from decimal import Decimal

from cyclopts import App

from prefect_seedance.cli.options import PLAIN, Account, Json
from prefect_seedance.cli.printing import show

app = App(name="balance", default_parameter=PLAIN)


@app.default
def balance(*, account: Account = Account(), json: Json = False) -> int:
    """Show how much money the account has left, in US dollars."""
    amount = asyncio.run(_read(account))
    show(jsons.dumps({"balance": str(amount), "currency": "USD"}) if json else f"{amount:,} USD")
    return 0


async def _read(account: Account) -> Decimal:
    async with await account.client() as client:
        return await client.balance()
