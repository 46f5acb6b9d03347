"""Create the global concurrency limit by which processes divide an account."""

import asyncio
from typing import Literal, NamedTuple

from prefect_seedance.api.account import account_name
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.slots import REQUESTS_PER_SLOT
from prefect_seedance.api.urls import hide_users
from prefect_seedance.errors import ConnectionFailedError, SetupError
from prefect_seedance.orchestration.limit_server import LimitServer, NoLimitError


class AccountLimit(NamedTuple):
    """The limit of an account, and the action that it needed."""

    name: str
    action: Literal["create", "keep"]
    slots: int


async def limit_account(credentials: Credentials, *, dry_run: bool = False) -> AccountLimit:
    """Create the limit of an account with as many slots as it may use, unless it exists.

    Args:
        credentials: The account; its limits of generations and requests decide how many slots there are.
        dry_run: Return what would be done, without doing it.

    Raises:
        SetupError: If the Prefect server does not answer.
    """
    name = account_name(credentials.base_url, credentials.api_key.get_secret_value())
    slots = min(
        credentials.generations_in_flight, max(1, credentials.requests_per_minute // REQUESTS_PER_SLOT)
    )
    try:
        return await asyncio.to_thread(_limit, name, slots=slots, dry_run=dry_run)
    except ConnectionFailedError as error:
        raise SetupError(
            f"The Prefect server failed ({hide_users(error)}). Check it and PREFECT_API_URL, "
            "and run the command again"
        ) from error


def _limit(name: str, *, slots: int, dry_run: bool) -> AccountLimit:
    with LimitServer.connected() as server:
        try:
            return AccountLimit(name, "keep", server.read(name).size)
        except NoLimitError:
            if dry_run or server.create(name, size=slots):
                return AccountLimit(name, "create", slots)
        return AccountLimit(name, "keep", server.read(name).size)  # another process has created it meanwhile
